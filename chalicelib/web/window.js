// The router's own page of a payment window: it loads the gateway's script and lets the gateway's driver
// (web/<driver>.js) open the window. What the window answers goes to the router with a form, never to the shop.
//
//   SmartRouting.drivers.<driver> = {
//     prepare(params, back) {},  // optional: before the gateway's script is loaded
//     open(params, back) {},     // opens the window; may return a promise, and a rejection is shown as a failure
//   };
//
// A driver that draws in the page itself puts its elements into #stage, in place of what is there.
'use strict';

window.SmartRouting = { drivers: {} };

(function () {
  const SCRIPT_SECONDS = 15;

  let page; // what the server has put into #window
  let left = false; // a result, or the buyer's cancel, is on its way: nothing may overtake it

  // --- what drivers use -------------------------------------------------------------------------------------------

  /** Send a form as the browser would: GET parameters and JSON are not what gateways, or our return URL, read. */
  function form(action, fields, { charset = 'utf-8' } = {}) {
    const element = document.createElement('form');
    element.method = 'post';
    element.action = action;
    element.acceptCharset = charset;
    for (const [name, value] of Object.entries(fields)) {
      if (value === null || value === undefined) continue;
      const input = document.createElement('input');
      input.type = 'hidden';
      input.name = name;
      input.value = String(value);
      element.append(input);
    }
    document.body.append(element);
    // element.submit would be the field of that name, where a gateway has one.
    HTMLFormElement.prototype.submit.call(element);
  }

  /** The way back to the router, taken once: some windows call back twice, or tell of their closing after a result. */
  function leaveTo(url, fields, text) {
    if (left) return;
    left = true;
    document.getElementById('cancel').disabled = true;
    say(text);
    form(url, fields);
  }

  const back = {
    get url() {
      return page.return_url;
    },
    post(fields) {
      leaveTo(page.return_url, fields, page.texts.confirming);
    },
    cancel(code, message) {
      leaveTo(page.return_url, { sr_left: 'cancel', sr_code: code, sr_message: message }, page.texts.loading);
    },
    fail(code, message) {
      leaveTo(page.return_url, { sr_left: 'fail', sr_code: code, sr_message: message }, page.texts.loading);
    },
    form,
  };

  // --- the page ---------------------------------------------------------------------------------------------------

  function show(...elements) {
    document.getElementById('stage').replaceChildren(...elements);
  }

  function make(tag, className, text) {
    const element = document.createElement(tag);
    element.className = className;
    element.textContent = text;
    return element;
  }

  function say(text) {
    const status = make('p', 'status', text);
    status.setAttribute('role', 'status');
    show(status);
  }

  function button(text, className, action) {
    const element = make('button', className, text);
    element.type = 'button';
    element.addEventListener('click', action);
    return element;
  }

  /** The window cannot go on by itself: the buyer says what next. detail: the gateway's words, if it has any. */
  function stuck(text, detail) {
    if (left) return;
    const { texts, another_url: anotherUrl, cancel_url: cancelUrl } = page;
    const alert = make('p', 'problem', text);
    alert.setAttribute('role', 'alert');
    const actions = make('div', 'actions', '');
    actions.append(button(texts.retry, 'primary', () => location.reload()));
    if (anotherUrl) actions.append(button(texts.another, '', () => leaveTo(anotherUrl, {}, texts.loading)));
    actions.append(button(texts.cancel, '', () => leaveTo(cancelUrl, {}, texts.loading)));
    show(alert, make('p', 'detail', detail || ''), actions);
    actions.firstChild.focus();
  }

  function load(url) {
    return new Promise((resolve, reject) => {
      const script = document.createElement('script');
      script.src = url;
      script.onload = resolve;
      script.onerror = reject;
      setTimeout(reject, SCRIPT_SECONDS * 1000);
      document.head.append(script);
    });
  }

  async function start() {
    page = JSON.parse(document.getElementById('window').textContent);
    document.getElementById('cancel').form.addEventListener('submit', (event) => {
      event.preventDefault(); // without a script it would do the same
      leaveTo(page.cancel_url, {}, page.texts.loading);
    });
    const driver = window.SmartRouting.drivers[page.driver];
    try {
      if (driver.prepare) driver.prepare(page.params, back);
      if (page.script) {
        try {
          await load(page.script);
        } catch {
          return stuck(page.texts.script_failed);
        }
      }
      await driver.open(page.params, back);
    } catch (error) {
      console.error(error);
      stuck(page.texts.failed, error && error.message);
    }
  }

  document.addEventListener('DOMContentLoaded', start); // drivers have registered by then
  // Back from a gateway's page by the browser's button: the server knows what to show now.
  window.addEventListener('pageshow', (event) => event.persisted && location.reload());
})();
