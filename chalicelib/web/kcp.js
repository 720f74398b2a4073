// NHN KCP. On a PC its script opens a layer over this page, fills its answer into our form and says so by a function
// that it wants to find before it is loaded. On phones the form goes to KCP itself, which sends the browser back.
'use strict';

window.SmartRouting.drivers.kcp = {
  prepare(params, back) {
    if (params.action) return;
    window.m_Completepayment = (answer, closeLayer) => {
      const form = document.forms.order_info;
      window.GetField(form, answer);
      if (form.elements.res_cd.value !== '0000') closeLayer();
      back.post(Object.fromEntries(new FormData(form))); // also what failed: the server reads it
    };
  },

  open({ action, fields }, back) {
    if (action) {
      back.form(action, fields);
      return;
    }
    const form = document.createElement('form');
    form.name = 'order_info';
    for (const [name, value] of Object.entries(fields)) {
      form.append(Object.assign(document.createElement('input'), { type: 'hidden', name, value }));
    }
    document.body.append(form);
    window.KCP_Pay_Execute_Web(form);
  },
};
