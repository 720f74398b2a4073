/**
 * Types of `window.IMP` as this router serves it at /v1/iamport.js: PortOne V1's browser SDK.
 *
 * Parameters marked "passed on" reach the gateway if it knows them. Every other parameter of V1 may be sent too.
 */

export {};

declare global {
  interface Window {
    IMP: Iamport.Imp;
  }
  /** Undefined until the script has been loaded. */
  const IMP: Iamport.Imp;
}

export declare namespace Iamport {
  interface Imp {
    /** Say which merchant this page belongs to. Once, before anything else. userCode: `imp` and 8 digits. */
    init(userCode: string): void;
    /** Open a payment window. The callback is called once, unless the window takes the place of this page (phones). */
    request_pay(param: RequestPayParam, callback?: (response: RequestPayResponse) => void): void;

    /** Sub-merchants. Not supported: `request_pay` then answers with a failure. */
    agency(userCode: string, tierCode: string): void;
    /** Identity checks. Not supported: the callback gets a failure. */
    certification(param: object, callback?: (response: RequestPayResponse) => void): void;
    /** Payment buttons of a gateway. Not supported: the callback gets a failure. */
    loadUI(type: string, param: object, callback?: (response: RequestPayResponse) => void): void;
    /** Not supported, like loadUI. */
    updateLoadUIRequest(type: string, param: object): void;
    /** Not supported: always rejects. */
    loadModule(type: string, merchant: { userCode: string; tierCode?: string }, options?: object): Promise<never>;
  }

  /** What the windows of this router take. V1 has more; a gateway that cannot do one is left out, and says why. */
  type PayMethod = 'card' | 'trans' | 'vbank' | 'phone' | 'paypal';

  interface RequestPayParam {
    /** Smart-routing group: one of its channels is drawn by weight. */
    channelGroupId?: string;
    /** One channel, in place of a group. */
    channelKey?: string;
    /** `{PG}` or `{PG}.{MID}`, in place of a group. */
    pg?: string;
    /** V1's words, of which this router serves PayMethod. */
    pay_method: PayMethod | (string & {});
    /** Your order number: at most 40 characters, unique. One that has been paid is refused. */
    merchant_uid: string;
    /** What is bought: at most 40 characters. */
    name: string;
    /** In the currency's usual unit. Has to equal what `POST /payments/prepare` was told, if it was. */
    amount: number;
    /** Default KRW. */
    currency?: string;
    /** Tax-free part of the amount. */
    tax_free?: number;
    /** VAT part of the amount; null = the gateway's reckoning. */
    vat_amount?: number | null;
    language?: 'ko' | 'en' | 'zh' | 'jp';
    /** Echoed back as JSON text. */
    custom_data?: object | string;

    buyer_name?: string;
    buyer_tel?: string;
    buyer_email?: string;
    buyer_addr?: string;
    buyer_postcode?: string;
    /** Your number for the buyer. Some gateways insist on it. */
    customer_id?: string;
    /** Would ask for a billing key: not available in a window of a group. */
    customer_uid?: string;

    /** Until when to pay into a virtual account: YYYY-MM-DD, YYYYMMDD, YYYY-MM-DD HH:mm:ss or YYYYMMDDHHmmss. */
    vbank_due?: string;
    /** Payment on the phone bill: true if nothing is shipped. */
    digital?: boolean;
    /** Danal, virtual account: your business number. */
    biz_num?: string;
    /** Where the browser goes in the end when it was led away (phones). Default: this page. */
    m_redirect_url?: string;
    /** In a web view: how to get back to the app, `name` or `name://path`. */
    app_scheme?: string;
    /** Show the window as a pop-up of its own. PayPal on PCs does so in any case. */
    popup?: boolean;
    /** Asked before the approval; any status but 200 stops the payment. */
    confirm_url?: string;
    /** Webhook for this payment, in place of the merchant's own. */
    notice_url?: string | string[];

    display?: {
      /** Instalments to offer, in months; [] = lump sum only. */
      card_quota?: number[];
      /** Passed on. */
      only_installment?: boolean;
    };
    card?: {
      /** Open one issuer's window. quota: months, 0 = lump sum. */
      direct?: { code: string; quota: number };
      detail?: ({ card_code: string; enabled: boolean } | { card_code: string; max_month: number })[];
      useInstallment?: boolean;
      interest_free?: number;
    };
    useFreeInterestFromMall?: boolean;
    escrow?: boolean;
    products?: { id?: string; name: string; code?: string; unitPrice: number; quantity: number }[];
    kcpProducts?: EscrowProduct[];
    kiccProducts?: EscrowProduct[];
    /** What is being sold lasts from, to (YYYYMMDD), or for an interval. */
    period?: { from?: string; to?: string; interval?: string };
    company?: string;
    /** Passed on to the gateway, usually under its own code; what would change the payment itself is not. */
    bypass?: Record<string, unknown>;
    /** Whatever else V1 knows. */
    [other: string]: unknown;
  }

  interface EscrowProduct {
    orderNumber: string;
    name: string;
    quantity: number;
    amount: number;
  }

  /**
   * What the callback gets. It proves nothing: ask `GET /payments/{imp_uid}` from your server before you ship.
   * After a redirect the same names stand in the query: imp_uid, merchant_uid, imp_success, error_code, error_msg.
   */
  interface RequestPayResponse {
    /** True for an approved payment, and for a virtual account that has been issued. */
    success: boolean;
    imp_success: boolean;
    /** On failure only: the gateway's own, or this SDK's. */
    error_code?: string;
    error_msg?: string;
    /** Null: refused before there was a payment. */
    imp_uid: string | null;
    merchant_uid: string | null;
    /** The outcome is still being found out: a webhook tells it. Do not ask the buyer to pay again. */
    confirming?: boolean;
    pay_method?: string | null;
    /** ready: not paid yet, as an issued virtual account. */
    status?: 'ready' | 'paid' | 'failed' | 'cancelled';
    paid_amount?: number;
    currency?: string;
    name?: string | null;
    pg_provider?: string | null;
    /** Wallet chosen in the window. */
    emb_pg_provider?: string | null;
    pg_tid?: string | null;
    pg_type?: 'payment';
    /** Unix seconds. */
    paid_at?: number;
    receipt_url?: string | null;
    /** JSON text. */
    custom_data?: string | null;
    buyer_name?: string | null;
    buyer_tel?: string | null;
    buyer_email?: string | null;
    buyer_addr?: string | null;
    buyer_postcode?: string | null;

    /** Card. */
    apply_num?: string | null;
    card_name?: string | null;
    card_number?: string | null;
    /** Months; 0 = lump sum. */
    card_quota?: number;

    /** Transfer. */
    bank_name?: string | null;

    /** Virtual account; vbank_date in unix seconds. */
    vbank_num?: string | null;
    vbank_name?: string | null;
    vbank_holder?: string | null;
    vbank_date?: number;
  }
}
