// The demo shop's page. What a real shop does is in `pay` and `returned`; the rest shows what the router tells operators.
'use strict';

(function () {
  const REFRESH_EVERY = 1000; // ms, while something is still to come
  const REFRESH_FOR = 60; // times
  const DAY = 86400000; // ms

  const TEXTS = {
    ko: {
      note: '데모 상점 · 결제창은 모의 PG이고, 돈은 움직이지 않습니다.',
      language: 'English', method: '결제수단', group: '채널 그룹', amount: '금액', popup: '팝업으로 열기',
      card: '카드', trans: '계좌이체', vbank: '가상계좌', phone: '휴대폰', paypal: 'PayPal',
      default: '기본', korea: '국내 전체', mixed: '조건이 까다로운 PG',
      evenly: (count) => `PG ${count}곳을 고르게`, pay: (amount) => `${amount} 결제하기`,
      decision: '라우터의 결정', empty: '결제하면 어느 PG가 왜 선택되었는지 여기에 나옵니다.',
      paid: '결제 완료', ready: '확인 중', waiting: '입금 대기', failed: '결제되지 않음', cancelled: '취소됨',
      not_opened: '결제창이 열리지 않았습니다',
      weighted: '비율에 따라 뽑기', standby: '예비 채널에서 뽑기', pinned: '지정된 채널', direct: '그룹 없이 지정',
      drawn: (draw, total) => `뽑힌 수 ${draw} / ${total}`, attempt: (number) => `시도 ${number}`,
      excluded: '제외된 채널', outcome: '결과', order_id: 'PG 주문번호', took: '승인에 걸린 시간',
      under_way: '진행 중', approved: '승인', issued: '계좌 발급', declined: '거절', not_sent: '보내지 못함', unknown: '응답 유실',
      undone: '되돌림', given_back: '돌려줌', left: '창을 떠남',
      account: '입금 계좌', due: (date) => `${date}까지`, deposit: '입금하기 (모의)', depositing: '입금 중…',
      webhooks: '웹훅', no_webhooks: '없음', delivered: '전달됨', pending: '보내는 중', dead: '포기함', tries: (n) => `${n}회`,
      checked: '서버 확인', agrees: '주문과 일치', differs: '주문과 다름', callback: '콜백이 받은 값', query: '주소로 받은 값',
    },
    en: {
      note: 'Demo shop · the windows are simulated, no money moves.',
      language: '한국어', method: 'Pay by', group: 'Channel group', amount: 'Amount', popup: 'Open in a pop-up',
      card: 'Card', trans: 'Transfer', vbank: 'Virtual account', phone: 'Phone bill', paypal: 'PayPal',
      default: 'Default', korea: 'All of Korea', mixed: 'Picky gateways',
      evenly: (count) => `${count} gateways, evenly`, pay: (amount) => `Pay ${amount}`,
      decision: "The router's decision", empty: 'Pay, and see here which gateway was chosen, and why.',
      paid: 'Paid', ready: 'Being confirmed', waiting: 'Waiting for a deposit', failed: 'Not paid', cancelled: 'Cancelled',
      not_opened: 'No window was opened',
      weighted: 'Drawn by weight', standby: 'Drawn from the standbys', pinned: 'Named channel', direct: 'Named, no group',
      drawn: (draw, total) => `drew ${draw} of ${total}`, attempt: (number) => `Attempt ${number}`,
      excluded: 'Left out', outcome: 'Outcome', order_id: 'Order id there', took: 'Approval took',
      under_way: 'under way', approved: 'approved', issued: 'account issued', declined: 'declined', not_sent: 'not sent', unknown: 'answer lost',
      undone: 'undone', given_back: 'given back', left: 'left by the buyer',
      account: 'Pay into', due: (date) => `until ${date}`, deposit: 'Deposit (simulated)', depositing: 'Depositing…',
      webhooks: 'Webhooks', no_webhooks: 'none', delivered: 'delivered', pending: 'on its way', dead: 'given up',
      tries: (n) => (n === 1 ? '1 try' : `${n} tries`),
      checked: 'Server check', agrees: 'as ordered', differs: 'not as ordered', callback: 'What the callback got', query: 'What the address brought',
    },
  };
  const METHODS = ['card', 'trans', 'vbank', 'phone', 'paypal'];
  const PRICES = { KRW: 89000, USD: 69 };

  const $ = (id) => document.getElementById(id);
  let language = localStorage.getItem('language') || (navigator.language.startsWith('ko') ? 'ko' : 'en');
  let merchant; // user_code, groups, names
  let told = null; // what the page was told: {title, result}
  let view = null; // what operators see of that payment
  const t = (key) => TEXTS[language][key] || key;

  // --- the shop ---------------------------------------------------------------------------------------------------

  const chosen = (name) => new FormData($('order')).get(name);
  const currency = () => (chosen('method') === 'paypal' ? 'USD' : 'KRW');

  function order() {
    const param = {
      channelGroupId: chosen('group'),
      pay_method: chosen('method'),
      merchant_uid: `demo${Date.now()}`,
      name: $('product').textContent,
      amount: Number($('amount').value),
      currency: currency(),
      buyer_name: '홍길동',
      buyer_tel: '010-1234-5678',
      buyer_email: 'gildong@example.com',
      customer_id: 'gildong',
      language,
      popup: $('popup').checked,
      notice_url: `${location.origin}/demo/webhook`,
      m_redirect_url: `${location.origin}/demo`,
    };
    if (param.pay_method === 'vbank') param.vbank_due = new Date(Date.now() + 2 * DAY).toISOString().slice(0, 10);
    if (param.pay_method === 'phone') param.digital = false;
    return param;
  }

  function pay(event) {
    event.preventDefault();
    const param = order();
    // A real shop keeps its orders on its server. Phones leave this page, so that a variable would not do.
    sessionStorage.setItem(param.merchant_uid, JSON.stringify(param));
    IMP.request_pay(param, (rsp) => show('callback', rsp));
  }

  /** Phones come back with the result in the address. */
  function returned() {
    const result = Object.fromEntries(new URLSearchParams(location.search));
    if (result.merchant_uid) show('query', result);
  }

  // --- what became of it ------------------------------------------------------------------------------------------

  async function show(title, result) {
    told = { title, result };
    view = null;
    render();
    $('decision').scrollIntoView({ behavior: 'smooth', block: 'nearest' });
    for (let times = 0; times < REFRESH_FOR && told.result === result; times++) {
      if (!result.imp_uid || (await refresh(result)) === 'settled') return;
      await new Promise((resolve) => setTimeout(resolve, REFRESH_EVERY));
    }
  }

  async function refresh(result) {
    const reply = await fetch(`/demo/payments/${result.imp_uid}`);
    if (!reply.ok || told.result !== result) return 'settled';
    view = await reply.json();
    render();
    const open = view.payment.status === 'ready' || view.webhooks.some(({ state }) => state === 'pending');
    // A webhook is on its way only a moment after the payment has settled.
    const silent = view.payment.status === 'paid' && view.webhooks.length === 0;
    return open || silent ? 'open' : 'settled';
  }

  async function deposit(event) {
    event.target.disabled = true;
    event.target.textContent = t('depositing');
    await fetch(`/demo/payments/${view.imp_uid}/deposit`, { method: 'POST' });
    show(told.title, { ...told.result });
  }

  // --- drawing ----------------------------------------------------------------------------------------------------

  /** An element. Texts come as text, so nothing of what others wrote is ever HTML. */
  function make(tag, properties, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
    return element;
  }

  const title = (text) => make('h3', { textContent: text });
  /** The router's texts are Korean, with English in brackets after it. */
  const said = (text) => text.replace(/^([\w.]+: )?(.*?) ?\(([^()]+)\)$/, (_, field = '', korean, english) =>
    field + (language === 'ko' ? korean : english));
  const name = (provider) => (merchant.names[provider] ? merchant.names[provider][language] : provider);
  const part = (...children) => make('section', { className: 'part' }, children);
  const row = (...cells) => make('li', {}, cells.map(([className, content]) => make('span', { className }, content)));

  function money(amount, unit) {
    const digits = unit === 'KRW' ? 0 : 2;
    const number = new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
    if (unit !== 'KRW') return `${number.format(amount)} ${unit}`;
    return language === 'ko' ? `${number.format(amount)}원` : `${number.format(amount)} KRW`;
  }

  function bar(shares, extra = '') {
    return make('div', { className: `bar ${extra}` }, shares.map(({ weight, text, isChosen }) => {
      const segment = make('span', { className: isChosen ? 'chosen' : '', textContent: text || '' });
      segment.style.flexGrow = weight;
      return segment;
    }));
  }

  function render() {
    for (const element of document.querySelectorAll('[data-text]')) element.textContent = t(element.dataset.text);
    document.documentElement.lang = language;
    $('language').textContent = t('language');
    const amount = money(Number($('amount').value), currency());
    $('price').textContent = amount;
    $('pay').textContent = t('pay')(amount);
    $('currency').textContent = currency();
    $('shown').replaceChildren(...(told ? shownPayment() : [empty()]));
  }

  function empty() {
    const shares = [{ weight: 5, isChosen: true }, { weight: 3 }, { weight: 2 }];
    return make('div', { className: 'empty' }, bar(shares, 'thin'), make('p', { textContent: t('empty') }));
  }

  function shownPayment() {
    const raw = make('details', { open: !view },
      make('summary', { textContent: t(told.title) }),
      make('pre', { textContent: JSON.stringify(told.result, null, 2) }));
    if (!view) return [told.result.imp_uid ? null : notOpened(), raw].filter(Boolean);
    return [outcome(), account(), ...view.attempts.map(attempt), webhooks(), raw].filter(Boolean);
  }

  function verdict(kind, sign, headline, ...lines) {
    return make('div', { className: `outcome ${kind}` },
      make('span', { className: 'sign', textContent: sign, ariaHidden: 'true' }),
      make('strong', { textContent: headline }),
      make('p', {}, lines.flatMap((line, n) => (n ? [make('br'), line] : [line]))));
  }

  /** Nothing was drawn: the router says why, channel by channel. */
  function notOpened() {
    return verdict('bad', '×', t('not_opened'), ...(told.result.error_msg || '').split(/; |(?<=\)) (?=\w+: )/));
  }

  function outcome() {
    const { payment } = view;
    const kinds = { paid: ['good', '✓'], ready: ['wait', '…'], failed: ['bad', '×'], cancelled: ['wait', '↩'] };
    const isWaiting = payment.status === 'ready' && payment.vbank_num;
    const at = [money(payment.amount, payment.currency), name(payment.pg_provider), t(payment.pay_method)].join(' · ');
    return verdict(...kinds[payment.status], t(isWaiting ? 'waiting' : payment.status), at, payment.fail_reason || checked());
  }

  /** What a shop's server has to do before it delivers: compare. */
  function checked() {
    const { payment } = view;
    const kept = JSON.parse(sessionStorage.getItem(payment.merchant_uid) || '{}');
    const agrees = payment.amount === kept.amount && payment.currency === kept.currency;
    return `${t('checked')}: ${payment.merchant_uid} · ${payment.status} · ${t(agrees ? 'agrees' : 'differs')}`;
  }

  function account() {
    const { payment } = view;
    if (payment.status !== 'ready' || !payment.vbank_num) return null;
    const due = new Date(payment.vbank_date * 1000).toLocaleString(language, { dateStyle: 'medium', timeStyle: 'short' });
    const button = make('button', { className: 'primary', id: 'deposit', type: 'button', textContent: t('deposit') });
    button.addEventListener('click', deposit);
    return make('section', { className: 'part account' },
      title(t('account')),
      make('p', {}, make('span', { className: 'number', textContent: payment.vbank_num })),
      make('p', { textContent: [payment.vbank_name, payment.vbank_holder, t('due')(due)].filter(Boolean).join(' · ') }),
      button);
  }

  function attempt(made) {
    const heading = view.attempts.length > 1 ? `${t('attempt')(made.number)} · ` : '';
    return part(
      title(heading + t(made.decision.mode)),
      draw(made.decision),
      made.decision.exclusions.length ? excluded(made.decision.exclusions) : null,
      facts(made));
  }

  function draw({ mode, chosen: key, candidates, draw: point }) {
    if (point === null) return null;
    // Standbys have no weights: they share evenly.
    const drawn = candidates.map((c) => ({ ...c, weight: mode === 'standby' ? 1 : c.weight })).filter((c) => c.weight);
    const total = drawn.reduce((sum, { weight }) => sum + weight, 0);
    const percent = (weight) => `${Math.round((weight / total) * 1000) / 10}%`;
    const shares = drawn.map((c) => ({
      weight: c.weight,
      isChosen: c.channel_key === key,
      text: c.weight / total > 0.15 ? name(c.pg_provider) : '',
    }));
    const pointer = make('i');
    const label = make('b', { textContent: t('drawn')(point.toFixed(1), total) });
    const at = (point / total) * 100;
    pointer.style.left = `${at}%`;
    label.style.left = `${at}%`;
    label.style.transform = `translateX(-${at}%)`; // never over an edge
    return [
      bar(shares),
      make('p', { className: 'drawn' }, pointer, label),
      make('ul', { className: 'candidates' }, drawn.map((c) =>
        make('li', { className: c.channel_key === key ? 'chosen' : '' }, name(c.pg_provider), make('span', {}, percent(c.weight))))),
    ];
  }

  function excluded(exclusions) {
    const rows = exclusions.map((e) => row(['', name(e.pg_provider)], ['why', said(e.message)]));
    return make('div', { className: 'part excluded' }, title(t('excluded')), make('ul', { className: 'list' }, rows));
  }

  function facts(made) {
    const kinds = { approved: 'good', issued: 'good', declined: 'bad', left: 'bad' };
    const ends = make('span', { className: `tag ${kinds[made.outcome] || 'wait'}`, textContent: t(made.outcome || 'under_way') });
    const why = [made.code, made.message].filter(Boolean).join(' ');
    const known = [
      ['outcome', [ends, why ? ` ${why}` : '']],
      ['order_id', [make('code', { textContent: made.order_id })]],
      ['took', made.took_ms ? [`${made.took_ms} ms`] : null],
    ];
    return make('dl', { className: 'facts' }, known.filter(([, value]) => value).map(([label, value]) =>
      make('div', {}, make('dt', { textContent: t(label) }), make('dd', {}, value))));
  }

  function webhooks() {
    const kinds = { delivered: 'good', dead: 'bad' };
    const rows = view.webhooks.map((sent) => row(
      ['', make('code', { textContent: sent.status })],
      [`tag ${kinds[sent.state] || 'wait'}`, t(sent.state)],
      ['end', [sent.last_result, t('tries')(sent.tries)].filter(Boolean).join(' · ')]));
    const none = make('p', { className: 'note', textContent: t('no_webhooks') });
    return part(title(t('webhooks')), rows.length ? make('ul', { className: 'list webhooks' }, rows) : none);
  }

  // --- the form ---------------------------------------------------------------------------------------------------

  function option(group, value, checked, ...content) {
    return make('label', {}, make('input', { type: 'radio', name: group, value, checked }), content);
  }

  function drawForm() {
    const method = chosen('method') || 'card';
    const group = chosen('group') || merchant.groups[0].id;
    $('methods').replaceChildren(...METHODS.map((word) => option('method', word, word === method, t(word))));
    $('groups').replaceChildren(...merchant.groups.map(({ id, name: called, channels }) =>
      option('group', id, id === group,
        make('span', { className: 'name', textContent: t(called) }), bar(channels, 'thin'),
        make('span', { className: 'members', textContent: members(channels) }))));
  }

  function members(channels) {
    const weights = channels.map(({ weight }) => weight);
    if (channels.length > 3 && Math.max(...weights) - Math.min(...weights) <= 1) return t('evenly')(channels.length);
    return channels.map(({ pg_provider: provider, weight }) => `${name(provider)}\u00a0${weight}%`).join(' · ');
  }

  async function start() {
    const reply = await fetch('/demo/merchant');
    merchant = await reply.json();
    if (!reply.ok) throw new Error(merchant.message);
    IMP.init(merchant.user_code);
    $('amount').value = PRICES.KRW;
    drawForm();
    render();
    $('pay').disabled = false;
    returned();
  }

  $('order').addEventListener('submit', pay);
  $('amount').addEventListener('input', render);
  $('methods').addEventListener('change', () => {
    $('amount').value = PRICES[currency()];
    render();
  });
  $('language').addEventListener('click', () => {
    language = language === 'ko' ? 'en' : 'ko';
    localStorage.setItem('language', language);
    drawForm();
    render();
  });
  start();
})();
