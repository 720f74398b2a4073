// The last page of a payment window: hands the result over to the shop's page, and to nobody else.
'use strict';

(function () {
  const ASK_EVERY = 1500; // ms
  const ASK_FOR = 40000; // ms; then the shop is told that the result is still being confirmed

  const page = JSON.parse(document.getElementById('result').textContent);

  /** The newest result. A question that gets no answer is asked again. */
  async function settle() {
    const giveUpAt = Date.now() + ASK_FOR;
    while (page.result.confirming && Date.now() < giveUpAt) {
      await new Promise((resolve) => setTimeout(resolve, ASK_EVERY));
      try {
        const reply = await fetch(page.state_url, { credentials: 'omit', cache: 'no-store' });
        const answer = await reply.json();
        if (answer.response) {
          page.result = answer.response;
          page.done_url = answer.done_url || page.done_url;
        }
      } catch {
        continue;
      }
    }
  }

  function handOver() {
    const { way, origin, imp_uid, result, done_url: doneUrl } = page;
    if (way === 'redirect') return location.replace(doneUrl);
    const shop = way === 'popup' ? window.opener : window.parent;
    document.querySelector('.status').classList.add('settled');
    // No shop: the address was opened by hand. The page's own text says what there is to know.
    if (shop && shop !== window) shop.postMessage({ source: 'smart-routing', imp_uid, result }, origin);
    if (way === 'popup') window.close();
  }

  const start = () => settle().then(handOver);

  start();
  window.addEventListener('pageshow', (event) => event.persisted && start());
})();
