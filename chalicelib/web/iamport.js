// The browser SDK: PortOne V1's `IMP`, for pages of merchants.
//
//   <script src="https://<the router>/v1/iamport.js"></script>
//   IMP.init('imp00000000');
//   IMP.request_pay({channelGroupId, pay_method, merchant_uid, name, amount, ...}, function (rsp) { ... });
//
// The payment window is a page of the router (web/window.html) in a frame over this page, in a pop-up, or instead of
// this page. What becomes of the payment is the router's to say: this script never makes up a result for a payment that
// exists. Nor does a result prove a payment: ask the router's REST API for it, from your server.
//
// Types: iamport.d.ts. ES2017, no dependency, no global but IMP. A page with a Content-Security-Policy lists the
// router's origin in script-src, connect-src and frame-src, and needs nothing else. One with a Cross-Origin-Opener-Policy
// that uses pop-ups needs `same-origin-allow-popups`: under `same-origin` browsers call every pop-up closed.
(function () {
  'use strict';

  const OPEN_WITHIN = 30000; // ms for the router to prepare a window
  const ASK_WITHIN = 15000; // ms for it to say what a payment has become
  const ASK_EVERY = 1500; // ms, while an approval is under way
  const ASK_FOR = 40000; // ms; then the callback is told what is known
  const POPUP_LOOK_EVERY = 500; // ms: no event tells that a pop-up was closed
  const POPUP = 'popup,width=960,height=760';

  const TEXTS = {
    title: '결제창',
    close: '결제창 닫기',
    loading: '결제창을 여는 중입니다…',
    in_popup: '새로 열린 창에서 결제를 진행해 주세요.',
    confirming: '결제 결과를 확인하고 있습니다. 잠시만 기다려 주세요…',
    offline: '네트워크 오류로 결제 결과를 확인하지 못했습니다. 연결을 확인하고 다시 시도해 주세요. (network error)',
    retry: '다시 시도',
  };
  const REFUSALS = {
    NO_INIT: 'IMP.init(가맹점 식별코드)를 먼저 호출해 주세요. (call IMP.init first)',
    NO_PARAM: '결제 정보가 없습니다. (request_pay needs its parameters)',
    OPEN_ALREADY: '이미 진행 중인 결제창이 있습니다. (a payment window is open already)',
    POPUP_BLOCKED: '팝업이 차단되었습니다. 이 사이트의 팝업을 허용해 주세요. (the pop-up was blocked)',
    NETWORK: '네트워크 오류로 결제창을 열지 못했습니다. 잠시 후 다시 시도해 주세요. (network error)',
    NO_AGENCY: '하위 상점을 지원하지 않습니다. IMP.init을 사용해 주세요. (sub-merchants are not supported)',
    NO_CERTIFICATION: '본인인증을 지원하지 않습니다. (identity checks are not supported)',
    NO_UI: '결제 버튼 UI를 지원하지 않습니다. IMP.request_pay를 사용해 주세요. (loadUI is not supported)',
    NO_MODULE: '결제 모듈 불러오기를 지원하지 않습니다. (loadModule is not supported)',
  };

  const BASE = (document.currentScript || document.querySelector('script[src*="/v1/iamport.js"]')).src.replace(
    /\/v1\/iamport\.js.*$/,
    '',
  );

  let userCode = null;
  let isAgency = false;
  let current = null; // the payment whose window is open: one at a time

  // --- results ----------------------------------------------------------------------------------------------------

  /** Call the merchant's callback from a task of its own: what it throws is the page's, and disturbs nothing here. */
  function tell(callback, result) {
    if (typeof callback === 'function') setTimeout(() => callback(result));
  }

  /** A result where there is no payment that the router could tell one of. */
  function failure(param, code, message) {
    return {
      success: false,
      imp_success: false,
      error_code: code,
      error_msg: message,
      imp_uid: null,
      merchant_uid: (param && param.merchant_uid) || null,
      pay_method: (param && param.pay_method) || null,
      status: 'failed',
    };
  }

  function refuse(callback, param, code) {
    console.warn(REFUSALS[code]);
    tell(callback, failure(param, code, REFUSALS[code]));
  }

  function end(payment, result) {
    if (payment !== current) return; // its result has come another way
    current = null;
    clearInterval(payment.watch);
    if (payment.popup) payment.popup.close();
    payment.overlay.remove();
    tell(payment.callback, result);
  }

  // --- the router -------------------------------------------------------------------------------------------------

  /** POST. Rejects if there is no answer of the router, whatever the reason. */
  async function post(url, body, within) {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), within);
    // Without a body it is a simple request, which needs no preflight.
    const content = body ? { headers: { 'Content-Type': 'application/json' }, body } : {};
    const request = { method: 'POST', mode: 'cors', credentials: 'omit', signal: abort.signal };
    try {
      const reply = await fetch(url, Object.assign(request, content));
      const answer = await reply.json();
      const isTrouble = reply.status >= 500 && reply.status !== 501; // 501 is a plain no: not served here
      if (isTrouble || typeof answer.code !== 'number') throw new Error(`HTTP ${reply.status}`);
      return answer;
    } finally {
      clearTimeout(timer);
    }
  }

  // --- opening ----------------------------------------------------------------------------------------------------

  function request_pay(param, callback) {
    if (!userCode) return refuse(callback, param, isAgency ? 'NO_AGENCY' : 'NO_INIT');
    if (!param || typeof param !== 'object') return refuse(callback, param, 'NO_PARAM');
    if (current) return refuse(callback, param, 'OPEN_ALREADY'); // a double click: the first window goes on
    // PayPal's page refuses to be in a frame. A pop-up that nobody asked for may be blocked: then ours has a button for it.
    const isPayPal = param.pay_method === 'paypal' && !isPhone();
    // Browsers open pop-ups only while they handle the click, so before the router is asked.
    const popup = param.popup === true || isPayPal ? window.open('about:blank', '_blank', POPUP) : null;
    if (param.popup === true && !popup) return refuse(callback, param, 'POPUP_BLOCKED');
    const way = popup ? 'popup' : isPhone() ? 'redirect' : 'frame';
    const ours = { user_code: userCode, way, is_mobile: isPhone() };
    if (way === 'redirect' && !param.m_redirect_url) ours.m_redirect_url = location.href;
    const body = JSON.stringify(Object.assign({}, param, ours));
    current = { param, callback, way, popup, url: null, imp_uid: null, given_up: false, asking: false };
    current.overlay = new Overlay(current);
    current.overlay.say(popup ? TEXTS.in_popup : TEXTS.loading);
    if (popup) watch(current);
    open(current, body);
  }

  async function open(payment, body) {
    let answer;
    try {
      answer = await post(`${BASE}/window/payments`, body, OPEN_WITHIN);
    } catch (error) {
      return end(payment, failure(payment.param, 'NETWORK', REFUSALS.NETWORK));
    }
    if (answer.code !== 0) return end(payment, failure(payment.param, String(answer.code), answer.message));
    payment.imp_uid = answer.response.imp_uid;
    payment.url = `${BASE}/${answer.response.url}`;
    if (payment.given_up) ask(payment);
    else show(payment);
  }

  function show(payment) {
    if (payment.way === 'redirect') return location.assign(payment.url);
    if (payment.way === 'frame') return payment.overlay.frame(payment.url);
    payment.popup.location.replace(payment.url);
  }

  function watch(payment) {
    payment.watch = setInterval(() => payment.popup.closed && giveUp(payment), POPUP_LOOK_EVERY);
  }

  function isPhone() {
    const hints = navigator.userAgentData;
    return hints ? hints.mobile : /Android|iPhone|iPad|iPod|Mobile/i.test(navigator.userAgent);
  }

  // --- its end ----------------------------------------------------------------------------------------------------

  window.addEventListener('message', (event) => {
    const payment = current;
    if (!payment || event.origin !== new URL(BASE).origin || event.source !== payment.overlay.source()) return;
    const { data } = event;
    if (data && data.source === 'smart-routing' && data.imp_uid === payment.imp_uid) end(payment, data.result);
  });

  // Back from the window by the browser's button, and this page is as it was left: with a payment under way.
  window.addEventListener('pageshow', (event) => event.persisted && current && giveUp(current));

  /** The buyer is done with the window. What has become of the payment by then, the router knows. */
  function giveUp(payment) {
    clearInterval(payment.watch);
    payment.given_up = true;
    if (payment.popup) payment.popup.close();
    payment.overlay.say(TEXTS.confirming);
    if (payment.url) ask(payment); // else `open` does, as soon as there is something to ask for
  }

  async function ask(payment) {
    if (payment.asking) return;
    payment.asking = true;
    const giveUpAt = Date.now() + ASK_FOR;
    try {
      while (payment === current) {
        const { code, message, response } = await post(`${payment.url}/close`, null, ASK_WITHIN);
        if (code !== 0) {
          const refused = failure(payment.param, String(code), message);
          return end(payment, Object.assign(refused, { imp_uid: payment.imp_uid }));
        }
        if (!response.confirming || Date.now() > giveUpAt) return end(payment, response);
        await new Promise((resolve) => setTimeout(resolve, ASK_EVERY));
      }
    } catch (error) {
      payment.overlay.say(TEXTS.offline, () => giveUp(payment));
    } finally {
      payment.asking = false;
    }
  }

  // --- what covers the page ---------------------------------------------------------------------------------------

  /** A modal dialog. In a shadow root, where the page's styles end; styled by property, which no policy refuses. */
  class Overlay {
    constructor(payment) {
      this.payment = payment;
      this.host = element('div', 'all: initial !important');
      this.dialog = element('dialog', DIALOG);
      this.dialog.setAttribute('aria-modal', 'true');
      this.dialog.setAttribute('aria-label', TEXTS.title);
      this.panel = element('div', PANEL);
      const bar = element('div', BAR);
      bar.append(element('span', '', TEXTS.title), this.closeButton());
      this.content = element('div', CONTENT);
      this.panel.append(bar, this.content);
      this.dialog.append(this.panel);
      this.host.attachShadow({ mode: 'open' }).append(this.dialog);
      document.body.append(this.host);
      this.scroll = document.documentElement.style.overflow;
      document.documentElement.style.overflow = 'hidden';
      this.dialog.addEventListener('cancel', (event) => {
        event.preventDefault(); // Escape: it stays until the router has answered
        this.leave();
      });
      // Browsers close a dialog on a second Escape, whatever we say.
      this.dialog.addEventListener('close', () => this.dialog.isConnected && this.dialog.showModal());
      this.dialog.showModal();
    }

    closeButton() {
      this.button = element('button', CLOSE, '×');
      this.button.type = 'button';
      this.button.setAttribute('aria-label', TEXTS.close);
      this.button.addEventListener('click', () => this.leave());
      return this.button;
    }

    leave() {
      if (!this.payment.given_up) giveUp(this.payment);
    }

    frame(url) {
      const frame = element('iframe', FRAME);
      frame.title = TEXTS.title;
      frame.allow = 'payment *';
      frame.src = url;
      this.content.replaceChildren(frame);
      frame.focus();
    }

    /** Who may tell the result: the window that this payment was opened in. */
    source() {
      const frame = this.content.querySelector('iframe');
      return this.payment.popup || (frame && frame.contentWindow);
    }

    /** A text in place of the window. retry: for a button under it. */
    say(text, retry) {
      this.button.hidden = this.payment.given_up; // there is nothing left to close
      const status = element('p', STATUS, text);
      status.setAttribute('role', 'status');
      this.content.replaceChildren(status);
      if (!retry) return;
      const button = element('button', RETRY, TEXTS.retry);
      button.type = 'button';
      button.addEventListener('click', retry);
      status.append(button);
      button.focus();
    }

    remove() {
      this.host.remove();
      document.documentElement.style.overflow = this.scroll;
    }
  }

  const FONT = 'system-ui, -apple-system, "Apple SD Gothic Neo", "Noto Sans KR", sans-serif';
  const DIALOG = `position: fixed; inset: 0; width: 100vw; height: 100vh; max-width: none; max-height: none; margin: 0;
    padding: 0; border: 0; box-sizing: border-box; display: flex; background: rgba(0, 0, 0, 0.55);
    font: 16px/1.5 ${FONT}; overscroll-behavior: contain`;
  // In height, all there is, unless there is also more than the panel's width.
  const PANEL = `margin: auto; width: min(100%, 60rem); height: min(100%, max(46rem, (60rem - 100vw) * 999));
    display: flex; flex-direction: column; overflow: hidden; background: Canvas; color: CanvasText;
    color-scheme: light dark`;
  const BAR = `flex: none; display: flex; align-items: center; justify-content: space-between; padding-left: 16px;
    font-weight: 600; border-bottom: 1px solid rgba(128, 128, 128, 0.35)`;
  const CLOSE = `width: 44px; height: 44px; border: 0; background: none; color: inherit; font: 24px/1 sans-serif;
    cursor: pointer`;
  const CONTENT = 'flex: 1; min-height: 0; display: flex';
  const FRAME = 'flex: 1; border: 0; background: Canvas';
  const STATUS = 'margin: auto; padding: 16px; text-align: center; word-break: keep-all';
  const RETRY = `display: block; margin: 16px auto 0; padding: 10px 24px; border: 0; border-radius: 8px;
    background: #0a58ca; color: #fff; font: inherit; cursor: pointer`;

  function element(tag, style, text) {
    const made = document.createElement(tag);
    made.style.cssText = style;
    if (text) made.textContent = text;
    return made;
  }

  // --- what pages see ---------------------------------------------------------------------------------------------

  window.IMP = {
    init(code) {
      userCode = code;
    },
    request_pay,
    agency() {
      isAgency = true;
    },
    certification(param, callback) {
      refuse(callback, param, 'NO_CERTIFICATION');
    },
    loadUI(type, param, callback) {
      refuse(callback, param, 'NO_UI');
    },
    updateLoadUIRequest() {
      console.error(REFUSALS.NO_UI);
    },
    loadModule() {
      return Promise.reject(new Error(REFUSALS.NO_MODULE));
    },
  };
})();
