// PayPal: its own page, where the buyer signs in and agrees. The page allows no frame around it, so that from a frame it
// is opened in a pop-up; and browsers open pop-ups only while they handle a click, hence the button.
'use strict';

(function () {
  const LOOK_EVERY = 500; // ms: no event tells that a pop-up was closed, or has come back to the router

  function isOver(popup) {
    if (popup.closed) return true;
    try {
      return popup.location.origin === location.origin;
    } catch {
      return false; // at PayPal's, whose pages we may not look into
    }
  }

  function offer(text, url) {
    let popup = null;
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'primary';
    button.textContent = text;
    button.addEventListener('click', () => {
      if (popup && !popup.closed) popup.focus();
      else popup = window.open(url, '_blank', 'popup,width=500,height=720'); // null if it was blocked: click again
    });
    document.getElementById('stage').replaceChildren(button);
    button.focus();

    const look = setInterval(() => {
      if (!popup || !isOver(popup)) return;
      clearInterval(look);
      popup.close();
      location.reload(); // the result, or this page again if the buyer has closed the pop-up
    }, LOOK_EVERY);
  }

  window.SmartRouting.drivers.paypal_v2 = {
    open(params, back) {
      if (!params.approve_url) back.post({ token: params.token });
      else if (params.in_frame) offer(params.button, params.approve_url);
      else location.replace(params.approve_url); // no way back to here, which would only lead there again
    },
  };
})();
