// The integration guide's server-side samples, as a merchant would paste them: only the base URL, the token, the group,
// the card and the time are filled in. Prints the last answer.
//
//     node guide_samples.mjs onetime | issue_and_again | schedule

const { BASE_URL, ACCESS_TOKEN, GROUP_ID, SCHEDULE_AT, NOTICE_URL } = process.env;

async function onetime() {
  // card_number, expiry, birth, pwd_2digit 등 정보를 전달받습니다.
  // 포트원 비인증 결제(일회성) API 호출
  const onetimeResponse = await fetch(
    `${BASE_URL}/subscribe/payments/onetime`,
    {
      method: "POST",
      headers: {
        Authorization: `Bearer ${ACCESS_TOKEN}`,
        "Content-Type": "application/json",
      },
      body: JSON.stringify({
        channelGroupId: GROUP_ID,
        card_number: "4242-4242-4242-4242", // 카드 번호 16자리
        expiry: "2030-12", // 카드 유효기간
        birth: "880101", // 생년 월일. 무기명 법인카드의 경우 사업자 번호 10자리 입력
        pwd_2digit: "12", //카드 비밀번호 앞 2자리
        // 중략...
        merchant_uid: "ORD20180131-0000011",
        amount: 1000,
        name: "Norway swivel chair",
      }),
    },
  );
  return await onetimeResponse.json();
}

async function issue(customer_uid, customer_id) {
  const issueResponse = await fetch(
    `${BASE_URL}/subscribe/customers/${customer_uid}`,
    {
      method: "POST",
      headers: {
        Authorization: `Bearer ${ACCESS_TOKEN}`,
        "Content-Type": "application/json",
      },
      body: JSON.stringify({
        channelGroupId: GROUP_ID,
        customer_id: customer_id, //고객 식별 정보로 고객사에서 기입
        card_number: "4242-4242-4242-4242", // 카드 번호 16자리
        expiry: "2030-12", // 카드 유효기간
        birth: "880101", // 생년 월일. 무기명 법인카드의 경우 사업자 번호 10자리 입력
        pwd_2digit: "12", //카드 비밀번호 앞 2자리
        // 중략...
      }),
    },
  );
  if (!issueResponse.ok)
    throw new Error(`issueResponse: ${await issueResponse.json()}`);
  return issueResponse;
}

async function issueAndAgain() {
  const issueResponse = await issue("customer_uid", "gildong");
  const {
    billingKeyInfo: { customer_uid },
  } = await issueResponse.json();
  if (customer_uid !== "customer_uid") throw new Error(`customer_uid: ${customer_uid}`);
  // 빌링키가 발급되었습니다! 빌링키를 저장하거나 결제하는 로직을 구성하세요.
  // 포트원 빌링키 결제 API 호출
  const paymentResponse = await fetch(
    `${BASE_URL}/subscribe/payments/again`,
    {
      method: "POST",
      headers: {
        Authorization: `Bearer ${ACCESS_TOKEN}`,
        "Content-Type": "application/json",
      },
      body: JSON.stringify({
        customer_uid: "customer_uid", // 슈퍼 빌링키
        merchant_uid: "merchant_uid",
        name: "월간 이용권 정기결제",
        // 빌링키 결제 API를 참고해 고객 정보를 채워주세요.
        amount: {
          total: 8900,
        },
        currency: "KRW",
      }),
    },
  );
  if (!paymentResponse.ok)
    throw new Error(`paymentResponse: ${await paymentResponse.json()}`);
  return await paymentResponse.json();
}

async function schedule() {
  await issue("gildong_0001_1234", "gildong");
  // 결제 예약
  const paymentResponse = await fetch(
    `${BASE_URL}/subscribe/payments/schedule`,
    {
      method: "POST",
      headers: {
        Authorization: `Bearer ${ACCESS_TOKEN}`,
        "Content-Type": "application/json",
      },
      body: JSON.stringify({
        customer_uid: "gildong_0001_1234", // 슈퍼 빌링키
        schedules: [
          {
            merchant_uid: "order_monthly_0001", // 주문 번호
            schedule_at: Number(SCHEDULE_AT), // 결제 시도 시각 in Unix Time Stamp. 예: 다음 달 1일
            amount: 8900,
            name: "월간 이용권 정기결제",
            buyer_name: "홍길동",
            buyer_tel: "01012345678",
            buyer_email: "gildong@gmail.com",
            // 중략...
            notice_url: NOTICE_URL,
          },
        ],
      }),
    },
  );
  return await paymentResponse.json();
}

const samples = { onetime, issue_and_again: issueAndAgain, schedule };
console.log(JSON.stringify(await samples[process.argv[2]]()));
