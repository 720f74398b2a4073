"""NHN KCP, REST API: key-in, charges and deletion of batch keys, cancels, inquiry, keys from card data; and its window.

Source: KCP's developer pages. Seen in public code: 8038, 8133 and 8128, and that KCP's numbers are 14 digits that begin
with the day. Our own reading, since the pages are silent: that a used order id is no obstacle (`refuses_duplicates`
shows the other possibility: the same card and amount on the same day), that a balance used up by parts stays STPC, and
the whole issue from card data. KCP's table of codes is not public: those with an X or SB in them, and their texts, are
this simulator's own.

The window: its script, its form and what m_Completepayment is told, the registration for phones and the approval are as
KCP's pages and public code have them. Our own reading: how the approval and the inquiry show a virtual account (STIR
until something is paid in, then also what the deposit notice says), and that it is refunded with what the old client
takes. An account that is due looks as it did before. What phones bring back is in EUC-KR, which has been seen.
"""

import base64
import itertools
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from infra.sandbox.server import (
    EXPIRED,
    NO_FUNDS,
    STOLEN,
    Answer,
    Cancel,
    Charge,
    Clock,
    Key,
    Refusal,
    Request,
    VirtualAccounts,
    card_outcome,
    json_answer,
    masked,
    new_id,
    seoul,
)
from infra.sandbox.windows import Action, Go, Tell, Visit, Windows

# Throw-away keys, made for this file and trusted by nobody else; in the format of those that KCP hands out.
TEST_CREDENTIALS = {
    "site_cd": "A52Q7",
    "group_id": "A52Q71000489",
    "certificate": """\
-----BEGIN CERTIFICATE-----
MIIDhzCCAm+gAwIBAgIUHk7KB6nsRU5iDJ/de965ib3+7wkwDQYJKoZIhvcNAQEL
BQAwUjELMAkGA1UEBhMCS1IxKzApBgNVBAoMInNtYXJ0LXJvdXRpbmcgc2ltdWxh
dG9yLCBubyBzZWNyZXQxFjAUBgNVBAMMDWtjcC10ZXN0LXNpdGUwIBcNMjYxMTIz
MjE1MTAwWhgPMjEyNjEwMzAyMTUxMDBaMFIxCzAJBgNVBAYTAktSMSswKQYDVQQK
DCJzbWFydC1yb3V0aW5nIHNpbXVsYXRvciwgbm8gc2VjcmV0MRYwFAYDVQQDDA1r
Y3AtdGVzdC1zaXRlMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAp7Dm
EvTBKOaT95cgLOZKRVq09TrnYZ5ECuXLfRZyZpuKZ+SZE5tHTU43Ent8Ql45rj5B
/qAprBWt19enkeL3+Hb92q0LDf8HpNeWkw+BCoMaT7/gZHHz/NPU4NKVXwx3ZmAS
wT76llnj4SnOriWLqS/f2N6XSzfvkr7nR0y7p4/dwa4GRCVd3Fvl1ijSas2yNgeS
G4UjyFhm8KCjtNEculHS9MhySrrRi8tSLAnhd6aIJTYB+gubVO63yxlt00/6XDjg
B+Pm9wJxwDOTQC9vYSe6Q8x1+vRWiiS91Faj4AmiS0DyNUmjmmxYVhftexk3sPvZ
LPYMrpvRXsInNKjxvQIDAQABo1MwUTAdBgNVHQ4EFgQUlygh8Vsq7gDwRMmODq9/
c1q+qh8wHwYDVR0jBBgwFoAUlygh8Vsq7gDwRMmODq9/c1q+qh8wDwYDVR0TAQH/
BAUwAwEB/zANBgkqhkiG9w0BAQsFAAOCAQEAUqaLFSVcbVVAeSBYGcn8s5RJmhIi
0BiEhnHhR+gVgM7hFJg9fKKI0FSu70ZmWieOyVi1iS5KOcavlCfT8EoCgB55QP2/
hDhqbqtJkwAWGitqk4dZ0jB+ywa6k3E6XF/2fHLZ96+a3PlOEHurmDYdzHSmN0y2
rp7sZKOKPNM+CG5/n9MUKEv9SFmsIU/Je66ROwnvzJzBUuCveyqLJqcEUNC3TCGr
+nj20AuBUR/jQtsKQbBW85jfdJi4uDu/5Cd8m+I/8wjbgmwJrxrWHjGCWVZuT9F0
xOQGthwQyvEBzgs0/jACHb/xDMRELmFHFTo5QH9/UGLmDM0aE6bLG3Onpg==
-----END CERTIFICATE-----
""",
    "private_key": """\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIIE6jAcBgoqhkiG9w0BDAEDMA4ECLzrcSccWzfKAgIIAASCBMjWSwZovCKsdX2P
/tf8g2TMfwxSWTyiQah4IuUGQXnoNqklsNyEQ+UBp1pKszYXONUr+CBOJJvDRpI1
XS0MfjvTMud1mZUXyedoUiDiLDjWRxuThrScoMYwPRqY72Vq8gUbLJlMHfhDkja7
GwG8BR2TQswXC0ZFbz4JD2vaMfHqf2GmFxN+atFHx5y/4YSAQ+0qKNMTF3Tx6G7C
ZaPtCvdhj2TqJUd8y6gzDQIEfrxeYf1pnIpApgf7TZnrBg0xak2qBiQFzvTGzIpP
JWOZOMH+405mvgPd9Ni6Vxw7SJZpizDp5BhEliFJ3nPAnCKXlK9p8s4KTyA4Nj5t
DG6hSvZUwC8wLO6faeYzTF62ruKrabWQNHmwCuG/4j+w1ZXHYcSiI0x81OyKu5Yh
B8Qg2lp2o5hAn5/GFnYGy9RRTMpdJIMy1h72euNAanQ5UtMoNmr3CPXLQVRkpD9Z
CR4tIOBRuCJ7Ju5DYPJmOi31fO43fKDhQWidxKktbAV8PpMuOaBL2wevg5chYoi9
ShHFRMNA4gRMh6Ho+N9V+E0gYsNDUCg2YMI7IWG5sMSPTye8GH3MFDMqcwBfW1Dg
CTVp2LxxUq7fX9afW0EWWWtxFprBfvVEf9ByJg+ZDsycQMkNdL5tOHQCT1OyyD5n
1xI4gakXKwZEoM+s5sKIBQe7kWnGrS9Qm3vpjBF//gOnJ7RMy2WKHqH4ADahysDD
qv8pC3+iF2o3WCT63giC2WMRhQARimCE5FliAtHU7T/TAVSxaty/VvMXn1g9iG/O
5xBohVH78gIGDUYjrfiWOm777bTF16ynu1HTGtaSavfhzOBBlzF9BXg+a8SRltMj
5rgNmPYhrMR5HSdGpZDnV8mlskLp1Y5ayw3Tj5c1lYO59Pi/EJ0C9IJyyXYSWTeU
wR62aRlmcgV6eTmAGXno/fNPaxgiy6oOztLZVzVbwJvzsWrwbJ5EChmOCxR9zYxL
9wyRR+jW0ozaxFC5Atc4k5sJ3q2qVA9sLfH84pL9TyzAuhT4HK8QKgQ3bS8p2uAs
7jxCicgUciGp8xEzyKtijQul8J4ODBJo5VhG6dKU+UWj1G67NKZHtslYkN810YYj
AWeZbQ3/gneWlYjPtzrPEGv7jgWj4NuK48ZLkGjl/Aua6jyYPt1fZcn/ArD1oFSz
7koFUshSUHqQV2CqfJqtwP3cqv9G58tBsspIYFJsjfDvyLK1tF6LERLH+dd759vu
gMmzoVi9vcY9zOlYEE/6UO3WyPHBXEgHdCAhTbSvIRY+/J1y1aZbpuJdFUBwXB+a
e5FT/h280lEilvno5pikY56RYpddc373FqS2Z841RxcVd1kSaZmFRHqDvQ3wfOxN
4cyzrtfZeKz1OOjTASzC8x8jCVh7vVY7ZkdCG9ZuPt9juI7DgPLzFsHZeS330rQU
crirBUbNiAwrgfu1n06nKkyXvlLGhtd6i5h2V4aW201xkmk5u93TP0D5uJzbdsxO
xM0CU+3vjh68RPBCRFbQ+6Zd1J3AdOVznQQCcc1afs6EJwGb2nGhIbtVm1h3kfwO
XfXo5XHZs2ee1qdbCG7tTsGISQYG+SGjv4BYwGWCTIySCXsOAAm9XnkDsqOyMu8g
pxzoA01xmLrHhw0MO08=
-----END ENCRYPTED PRIVATE KEY-----
""",
    "private_key_password": "changeit",
    "issue_by_api": "Y",
}
OTHER_CREDENTIALS = {
    "site_cd": "BA001",
    "group_id": "BA0011000348",
    "certificate": """\
-----BEGIN CERTIFICATE-----
MIIDiTCCAnGgAwIBAgIUfrvVAUHsf7tsm0MpxyCwX8JSg48wDQYJKoZIhvcNAQEL
BQAwUzELMAkGA1UEBhMCS1IxKzApBgNVBAoMInNtYXJ0LXJvdXRpbmcgc2ltdWxh
dG9yLCBubyBzZWNyZXQxFzAVBgNVBAMMDmtjcC1vdGhlci1zaXRlMCAXDTI2MTEy
MzIxNTEwMFoYDzIxMjYxMDMwMjE1MTAwWjBTMQswCQYDVQQGEwJLUjErMCkGA1UE
Cgwic21hcnQtcm91dGluZyBzaW11bGF0b3IsIG5vIHNlY3JldDEXMBUGA1UEAwwO
a2NwLW90aGVyLXNpdGUwggEiMA0GCSqGSIb3DQEBAQUAA4IBDwAwggEKAoIBAQDl
7cnnatpRSrpAtTYokXTUyhYIYWD89FM5p95wLyUpybD6ph20URzXpkWHxMgowjXc
xHb2DozGgY4MAtnzpHpoxuRukZrFDgKQbgxM6pB16Gk4urnGbhzQY/9lsb6fG5yG
wyfERkIfZqTyDscezbNrU0nv28drxPlcWQdH5SOrsF6dn/sq9K/ukg6T16dGU6IL
dDQ1QjK7PkxkmSRPKs/qprJoZTlNes1tZmIMiWY7MAN4Oo2fYTN5NPNh4d0Fpam6
/mRH7ZQoYw6GfHJ3KTwSyoKGk0P9lrjMeL+auhfwwDW83yMqI89KqJ5OM/gBQmSR
udczLoitCiM1lrlXzLcBAgMBAAGjUzBRMB0GA1UdDgQWBBRmXje7eKtIn3me+4oG
N4/xuxMDwTAfBgNVHSMEGDAWgBRmXje7eKtIn3me+4oGN4/xuxMDwTAPBgNVHRMB
Af8EBTADAQH/MA0GCSqGSIb3DQEBCwUAA4IBAQDgn6wj3g18mSpCbCynOfYKdhYK
h7DKopnUVNSJ8PREjgQMiN7NQAgjIaqqhlXOcorHNFbKngsF74EkksnVA9OEm2CF
ECHOQMO5HAl1LtfNLyGaojd9X30hfSqd+s49+tVyvsVtkAonRN7dJMoiAZszMsPA
eZJFyGJ2bCUP4RS0kHNyOFyqfZ+WTf3W8Jj61kyesxSRcRsY4bGjkwf7dTjT7BpL
gnmkWJ5+O6/9LAspAacbjZFDEgBHDt6Wv0woJneXmGIBjXyrSFL7dqNMOM4k//pk
5mojACnsXWCqjDEzekWtcfvQd75dhY1wOuzgDKtgAhlI6JXvfnTl0sk7dN7f
-----END CERTIFICATE-----
""",
    "private_key": """\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIIE6jAcBgoqhkiG9w0BDAEDMA4ECFED27PHWa3oAgIIAASCBMi0fTLcVI52xD64
g4FyrwCv6nLvkmEzonfeflzE62pAY1ApMeS2pJdb0tBtRyL1fevZlEYYpl+2Sma1
aXV+wOw4v15Vc+L72y4vidBcETHSpZpDQBXRmzuJyEaBHum6hPFgCgzHUGwk1//c
WQi2YDjlDmDW2kOoFN7A1WNKpQpskrI36l/mzrdb1F13hSVxTjuXsrMQo0JZNHZV
hYq28QBdGhmM2A06yZYL3LytAj0KnOju7vj/R/6R8K6dpCAn+0+WgFH6jqU1qmfu
62QuGjkqF9+SsFvExDubjKmBz6R59xQ82/7xzta+0xMRq5ltZMzLk4dp89BTqKXd
OQyLbVIiYoSrTrls3w5VpORgUHCNIvhzg7kSE2SzJnfXtMrXEFyboYTfxDjKSpsw
3x4NiF9kxBQCCVrsrXuvIFJ90FU3nAlnG6xblsOHoVghu0b0NgtxRo2oirH3GLZL
t2f+4bnFDdwprtioEgMWvgWobMOeFuci59Oq71VOwukMPfCGVCV0dzG9ywTAbIcb
opD6PyxMxxokBDzcbtdH8EANouFjExJXBY8Uf2nRmP+K0BqvxbAgOc9q8K8AHZdu
004Go0/zXLm2hNjLkfSieYQqPXXNoc1OYPVaRS3YU8DB8NS1TtBqqxC484lQGIME
4srGo5MCHoCbePjYJMIzHdLT0u5KSJVJOzD+s8vw1vXM6TVuRys6p21//SJYefX9
ulSxvKRJeKOeEd4AbvohUojk1xZLTuHRftj8uxpMbqP+sB7AozWwiJtyrBuhRgMl
N99BbN6OJ15SAQVAmBwWHZQvKzmYoaeTMZc+ofsqm0IEon3O3cxHIp22yhu/rsX6
2sleG1m9ZQb8sI+XQBJFsIqjZTaTRBMtuqBOGOrlx6u5mwa93InX70t/GLe9SZ23
KlvY6GSWTLbsKGHMs6QOmo2Oeagh1fWnrZ8tIKyaHp9WpVkWO0AfRZZ+deYS+qDa
ak5JAexPl8LTjpg+7vEXYqnq8LJJgX3zJN4TaGEQxjvPAxOny7HPGwgI/O7J/TAF
HJstaaT8Vd7DfCO09TAE35nM/Tp496JRygPtIMSJuw6oT+HPJ6SvwdMi0FFnLnYG
/xvNWyjU4esnmhmcfTIjU9uG9ltLcmlwtOw/aJArBd2DGgg9XGNuDBWnT08fJ7pe
IQJKMgHqCL10LMzbL36GA6FIto8V7ib1SdopRBkORtGPw5LLoB8RCVAVukogq9rm
hsEv3y7+EDgZA+z7tI9StRJgUaJ8Ow0uJoNumxJjib+k4gRcMQGY92Qx0XzdajV6
ASQos2yHwYg18sRxJHSnNZ03zKcfpzF1IR5cwDPwleNTdjNTwe6W9iTMQRw5f1fm
/iReYmUzpMd/KkohaxGaKfK6u+fofxjMbJnRvNYiXEWgN1VAYDgBegy4Yhg4WKcO
FxENJNcMbcIYX0tX3/8nT5lbqPfvquKTMDPnKzrQzz3+s9AnmGr9sRNxzBFUIYU5
J3c1MOPAcXZE0OqTKcUOMiYHDnB/4IPauMEOFPaFUjeqBn16HiXjjik5zmfFesI1
U6DGL+TjiDI2BoEzn/lADBThR85AxKfiv6lxCZB4JurTMMwjW7HaLBhUfowO3ecj
wJtfNBlDLSxLa42Ko3M=
-----END ENCRYPTED PRIVATE KEY-----
""",
    "private_key_password": "changeit",
    "issue_by_api": "Y",
}
"""A second merchant: sees nothing of the first."""
WRONG_CREDENTIALS = {
    **TEST_CREDENTIALS,
    "certificate": OTHER_CREDENTIALS["certificate"],
    "private_key": OTHER_CREDENTIALS["private_key"],
}

ACCOUNTS = {credentials["site_cd"]: credentials for credentials in (TEST_CREDENTIALS, OTHER_CREDENTIALS)}

WON = "410"
KEY_IN, BY_KEY, ISSUE = "11121000", "11511000", "12100000"
OPERATIONS = {ISSUE: "issue", KEY_IN: "charge", BY_KEY: "charge"}

WILL_ANSWER = {STOLEN: "CCX1", NO_FUNDS: "CC10", EXPIRED: "CCX2"}

MESSAGES = {
    "0000": "정상처리",
    "3014": "등록되지 않은 사이트코드입니다.",
    "3101": "결제수단을 확인해 주세요.",
    "8038": "부분취소된 거래는 전체취소할 수 없습니다.",
    "8059": "포맷에러(지불정보-공통:결제금액 불일치)",
    "8128": "신용카드 중복거래 요청 거절",
    "8133": "이미 취소된 거래입니다.",
    "8178": "취소 상계 불가",
    "CC10": "잔액 부족",
    "CC61": "한도 초과",
    "DM10": "필수값 누락",
    "CCX1": "분실 또는 도난 카드입니다.",
    "CCX2": "유효기간이 지난 카드입니다.",
    "CCX3": "카드번호를 확인해 주세요.",
    "CCX4": "할부를 이용할 수 없는 금액입니다.",
    "CCX5": "비밀번호 또는 생년월일이 다릅니다.",
    "SB01": "서비스 인증서를 확인해 주세요.",
    "SB02": "kcp_sign_data 검증에 실패하였습니다.",
    "SB03": "포맷에러",
    "SB04": "존재하지 않는 거래입니다.",
    "SB05": "취소 가능 금액이 다릅니다.",
    "SB06": "취소 요청 금액이 남은 금액보다 큽니다.",
    "SB07": "존재하지 않는 배치키입니다.",
    "SB08": "삭제된 배치키입니다.",
    "SB09": "이미 사용된 인증정보입니다.",
    "SB10": "입금되지 않은 가상계좌입니다.",
    "3001": "사용자가 결제를 취소하였습니다.",
    "SB11": "본인 인증에 실패하였습니다.",
}

PAY_TYPES = {"card": "PACA", "trans": "PABK", "vbank": "PAVC", "phone": "PAMC"}
PC_METHODS = {"100000000000": "card", "010000000000": "trans", "001000000000": "vbank", "000010000000": "phone"}
MOBILE_METHODS = {"CARD": "card", "BANK": "trans", "VCNT": "vbank", "MOBX": "phone"}
ACTIONS = {"card": "card", "trans": "acnt", "vbank": "vcnt", "phone": "mobx"}
ANSWER = ("res_cd", "res_msg", "ordr_chk", "tran_cd", "enc_info", "enc_data", "use_pay_method")
WINDOW_FIELDS = ("site_cd", "ordr_idxx", "good_mny", "good_name", "pay_method", "currency")
WINDOW_CARD = "5361480012345671"

SCRIPT = """
const complete = window.m_Completepayment;
if (typeof complete !== "function") throw new Error("m_Completepayment has to be there before this script");
window.GetField = (form, answer) => {
  for (const [name, value] of Object.entries(answer)) if (form.elements[name]) form.elements[name].value = value;
};
window.KCP_Pay_Execute_Web = (form) => {
  const tell = (answer) => complete(answer, () => {});
  sandboxWindow.open(Object.fromEntries(new FormData(form)), tell)
    .catch(({code, message}) => tell({res_cd: code, res_msg: message}));
};
"""

_numbers = itertools.count(secrets.randbelow(500_000))


class Simulator(Windows, VirtualAccounts):
    provider: ClassVar[str] = "kcp"
    label: ClassVar[str] = "NHN KCP"
    scripts: ClassVar = {"/plugin/kcp_spay_hub.js": SCRIPT}
    forms: ClassVar = {"/pay/jsp/encodingFilter/encodingFilter.jsp": "utf-8"}
    notice_form: ClassVar[str | None] = "euc-kr"
    notice_wants: ClassVar[str | None] = r'name="result" value="0000"'
    routes: ClassVar = (
        ("POST", r"/gw/hub/v1/payment", "charge", "hub"),
        ("POST", r"/gw/mod/v1/cancel", "cancel", "cancel"),
        ("POST", r"/std/inquery", "find", "inquire"),
        ("POST", r"/std/tradeReg/register", "window", "register"),
        ("POST", r"/gw/enc/v1/payment", "charge", "approve"),
    )
    refuses_duplicates = False

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.trades: dict[str, dict[str, str]] = {}
        """What phones' windows were registered for, by approval key."""

    def operation(self, request: Request) -> str | None:
        """One path serves three operations."""
        named = super().operation(request)
        return _hub_operation(request.json() or {}) if named == "charge" else named

    def authenticate(self, request: Request) -> str:
        """By the certificate in the body. Cancels and queries are signed besides."""
        body = request.json()
        if body is None or not request.headers.get("content-type", "").startswith("application/json"):
            raise Refusal("SB03")
        if not all(isinstance(value, str) for value in body.values()):
            raise Refusal("SB03", "포맷에러(문자열이 아닌 값)")
        account = ACCOUNTS.get(body.get("site_cd", ""))
        if account is None:
            raise Refusal("3014")
        certificate = account["certificate"]
        if body.get("kcp_cert_info") != certificate.replace("\n", ""):
            raise Refusal("SB01")
        now = datetime.fromtimestamp(self.clock.now(), UTC)
        if x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc < now:
            raise Refusal("SB01", "서비스 인증서가 만료되었습니다.")
        return account["site_cd"]

    def refuse(self, refusal: Refusal) -> Answer:
        message = refusal.message or MESSAGES.get(refusal.code, "처리할 수 없는 요청입니다.")
        return json_answer(200, {"res_cd": refusal.code, "res_msg": message, "res_en_msg": "refused"})

    def usual_refusal(self, operation: str) -> str:
        return {
            "charge": "CC61",
            "issue": "CCX5",
            "cancel": "8178",
            "find": "SB04",
            "delete": "DM10",
            "window": "3101",
        }[operation]

    def hub(self, account: str, request: Request) -> Answer:
        operation = self.operation(request)
        if request.forced and operation != "charge":
            raise Refusal(request.forced)
        body = request.json() or {}
        return {"issue": self._issue, "delete": self._delete}.get(operation or "", self._charge)(account, body, request)

    def _charge(self, account: str, body: dict[str, str], request: Request) -> Answer:
        _need(body, "ordr_idxx", "amount", "card_mny", "currency", "quota", "good_name", "card_tx_type")
        amount = _order_amount(body)
        if body["card_tx_type"] == BY_KEY:
            key = self._key(account, body, "bt_batch_key", "bt_group_id")
            card, will = key.card, key.will
        elif body["card_tx_type"] == KEY_IN:
            number = self._card(body)
            card, will = masked(number), card_outcome(number)
        else:
            raise Refusal("3101")
        code = request.forced or WILL_ANSWER.get(will or "")
        if code is None and self.refuses_duplicates and self._is_duplicate(account, card, amount):
            raise Refusal("8128")
        charge = Charge(
            account=account,
            order_id=body["ordr_idxx"],
            pg_tid=self._number(),
            amount=amount + request.surplus,
            currency="KRW",
            time=self.clock.now(),
            card=card,
            declined_by=code,
            details={"quota": body["quota"], "app_no": f"{len(self.books.charges) + 1:08d}"}
            | {name: value for name, value in body.items() if name.startswith(("good_", "buyr_", "comm_", "tax_"))},
        )
        self.books.add(charge)
        if code:
            raise Refusal(code)
        return _ok(self._approval(charge))

    def _issue(self, account: str, body: dict[str, str], _: Request) -> Answer:
        _need(body, "ordr_idxx", "bt_group_id", "sign_txtype")
        number = self._card(body)
        if body["bt_group_id"] != ACCOUNTS[account]["group_id"]:
            raise Refusal("SB03", "그룹 ID를 확인해 주세요.")
        will = card_outcome(number)
        if will == EXPIRED:
            raise Refusal(WILL_ANSWER[EXPIRED])
        key = Key(account, f"{self.clock.kst():%y%m%d%H}{secrets.token_hex(4)}", masked(number), will)
        self.books.keys[key.key] = key
        return _ok({
            "batch_key": key.key,
            "card_cd": "CCSS",
            "card_name": "삼성카드",
            "card_bank_cd": "",
            "van_tx_id": self._number(),
            "card_bin_type_01": "0",
            "card_bin_type_02": "0",
            "join_cd": "0000",
        })  # fmt: skip

    def _delete(self, account: str, body: dict[str, str], _: Request) -> Answer:
        self._key(account, body, "batch_key", "group_id").deleted = True
        return _ok({})

    def cancel(self, account: str, request: Request) -> Answer:
        body = request.json() or {}
        _need(body, "tno", "mod_type", "mod_desc")
        _check_signature(account, body, "tno", "mod_type")
        if len(body["mod_desc"].encode()) > 100 or _has_forbidden(body["mod_desc"]):
            raise Refusal("SB03", "포맷에러(mod_desc)")
        charge = self.books.by_tid(account, body["tno"])
        if charge is None or charge.declined_by:
            raise Refusal("SB04")
        if charge.unpaid:
            raise Refusal("SB10")
        if charge.balance == 0:
            raise Refusal("8133")
        if _method(charge) == "vbank":
            body = {**body, "mod_type": _refund_type(body)}
        if body["mod_type"] == "STSC":
            return self._cancel_whole(charge, body["mod_desc"])
        if body["mod_type"] == "STPC":
            return self._cancel_part(charge, body)
        raise Refusal("SB03", "포맷에러(mod_type)")

    def _cancel_whole(self, charge: Charge, reason: str) -> Answer:
        if charge.cancels:
            raise Refusal("8038")
        now = self.clock.now()
        charge.cancels.append(Cancel("", charge.pg_tid, charge.amount, now, reason))
        return _ok({"tno": charge.pg_tid, "canc_time": _time(now), "amount": str(charge.amount)})

    def _cancel_part(self, charge: Charge, body: dict[str, str]) -> Answer:
        _need(body, "mod_mny", "rem_mny")
        amount = _amount(body["mod_mny"])
        if _amount(body["rem_mny"]) != charge.balance:
            raise Refusal("SB05")
        if not 0 < amount <= charge.balance:
            raise Refusal("SB06")
        if "tax_flag" in body and sum(_amount(body[f"mod_{name}_mny"]) for name in ("tax", "vat", "free")) != amount:
            raise Refusal("8059")
        now, number = self.clock.now(), self._number()
        charge.cancels.append(Cancel("", number, amount, now, body["mod_desc"]))
        return _ok({
            "tno": charge.pg_tid,
            "canc_time": _time(now),
            "amount": str(charge.amount),
            "mod_mny": str(amount),
            "card_mod_mny": str(amount),
            "rem_mny": str(charge.balance),
            "mod_pcan_seq_no": number,
        })  # fmt: skip

    def inquire(self, account: str, request: Request) -> Answer:
        body = request.json() or {}
        _need(body, "tno", "pay_type")
        _check_signature(account, body, "tno", "pay_type")
        charge = self.books.by_tid(account, body["tno"])
        if charge is None or body["pay_type"] != PAY_TYPES[_method(charge)]:
            raise Refusal("SB04")
        return _ok(self._payment(charge))

    # the window

    def arrive(self, params: dict[str, Any]) -> Visit:
        """With the form of a PC, which KCP's script reads, or the one that a phone posts."""
        _need(params, *WINDOW_FIELDS)
        if params["site_cd"] not in ACCOUNTS:
            raise Refusal("3014")
        amount, order_id, mobile = _amount(params["good_mny"]), params["ordr_idxx"], "approval_key" in params
        method = (MOBILE_METHODS if mobile else PC_METHODS).get(params["pay_method"])
        if method is None or params["currency"] != ("410" if mobile else "WON") or not amount:
            raise Refusal("3101")
        _check_texts(params)
        if mobile:
            self._check_registered(params, method)
        elif missing := [name for name in ANSWER if name not in params]:
            raise Refusal("DM10", f"필수값 누락({missing[0]})")
        if method == "phone":
            _need(params, "buyr_name", "shop_user_id")
        details = {"params": params, "mobile": mobile, "due": self._due(params, mobile=mobile)}
        return Visit(params["site_cd"], order_id, amount, "KRW", method, params["good_name"], details)

    def register(self, account: str, request: Request) -> Answer:
        """A phone's window begins with this, from server to server."""
        body = request.json() or {}
        _need(body, "ordr_idxx", "good_mny", "good_name", "pay_method", "Ret_URL")
        _check_texts(body)
        if not _amount(body["good_mny"]) or body["pay_method"] not in MOBILE_METHODS:
            return json_answer(200, {"Code": "3101", "Message": MESSAGES["3101"]})
        key = new_id("", 40)
        self.trades[key] = {**body, "site_cd": account}
        url = f"http://{request.headers['host']}/pay/mobileGW.kcp"
        return json_answer(200, {"Code": "0000", "Message": "", "approvalKey": key, "PayUrl": url, "traceNo": key[:20]})

    def _check_registered(self, params: dict[str, Any], method: str) -> None:
        trade = self.trades.get(params["approval_key"], {})
        names = ("site_cd", "ordr_idxx", "good_mny", "pay_method", "Ret_URL")
        if any(params.get(name) != trade.get(name) for name in names):
            raise Refusal("SB03", "거래등록 정보와 다릅니다.")
        if params.get("ActionResult") != ACTIONS[method] or params.get("encoding_trans") != "UTF-8":
            raise Refusal("SB03")
        if not params.get("PayUrl", "").endswith("/pay/mobileGW.kcp"):
            raise Refusal("SB03")

    def _due(self, params: dict[str, Any], *, mobile: bool) -> float:
        """Until when to pay in: a moment on phones; days and a time on PCs; three days if nothing is said."""
        now = self.clock.kst()
        if mobile:
            text = params.get("ipgm_date") or f"{now + timedelta(days=3):%Y%m%d}235959"
        else:
            day = now + timedelta(days=int(params.get("vcnt_expire_term") or 3))
            text = f"{day:%Y%m%d}{params.get('vcnt_expire_term_time') or '235959'}"
        return datetime.strptime(f"{text}+0900", "%Y%m%d%H%M%S%z").timestamp()

    def leave(self, visit: Visit, action: Action) -> Go | Tell:
        given = visit.details["params"]
        answer = {name: given[name] for name in ("site_cd", "ordr_idxx", "good_mny")}
        if action == "approve":
            visit.details["enc_info"] = secrets.token_urlsafe(60)
            answer |= {
                "res_cd": "0000",
                "res_msg": "정상",
                "tran_cd": "00100000",
                "enc_data": visit.visit_id,
                "enc_info": visit.details["enc_info"],
                "use_pay_method": next(bits for bits, method in PC_METHODS.items() if method == visit.method),
                "ordr_chk": f"{visit.order_id}|{visit.amount}",
            }
        else:
            code = {"cancel": "3001", "fail": "SB11"}[action]
            answer |= {"res_cd": code, "res_msg": MESSAGES[code]}
        return Go(given["Ret_URL"], answer, "euc-kr") if visit.details["mobile"] else Tell(answer)

    def approve(self, account: str, request: Request) -> Answer:
        """What the buyer has agreed to, once. KCP compares order and amount with what the window has shown."""
        body = request.json() or {}
        _need(body, "tran_cd", "enc_data", "enc_info", "ordr_no", "ordr_mony", "pay_type")
        visit = self.visits.get(body["enc_data"])
        if (
            visit is None
            or (visit.account, visit.outcome, body["tran_cd"]) != (account, "approve", "00100000")
            or body["enc_info"] != visit.details["enc_info"]
            or body["ordr_no"] != visit.order_id
        ):
            raise Refusal("SB03", "포맷에러(enc_data)")
        if _amount(body["ordr_mony"]) != visit.amount:
            raise Refusal("8059")
        if visit.details.get("used"):
            raise Refusal("SB09")
        visit.details["used"] = True
        charge = self._window_charge(visit, request)
        self.books.add(charge)
        if charge.declined_by:
            raise Refusal(charge.declined_by)
        return _ok(self._approval(charge))

    def _window_charge(self, visit: Visit, request: Request) -> Charge:
        tno = self._number()
        charge = Charge(
            account=visit.account,
            order_id=visit.order_id,
            pg_tid=tno,
            amount=visit.amount + request.surplus,
            currency="KRW",
            time=self.clock.now(),
            card=masked(WINDOW_CARD) if visit.method == "card" else "",
            declined_by=request.forced or WILL_ANSWER.get(visit.details.get("will", "")),
            details={"method": visit.method, "quota": "00", "app_no": f"{len(self.books.charges) + 1:08d}"},
        )
        if visit.method == "vbank":
            charge.details |= {"due": visit.details["due"], "number": f"T{tno}"}
            charge.unpaid = None if charge.declined_by else "waiting"
        return charge

    def deposit(self, charge: Charge) -> None:
        charge.unpaid = None
        charge.details["paid_at"] = self.clock.now()

    def reverse(self, charge: Charge) -> None:
        charge.unpaid = "waiting"
        del charge.details["paid_at"]

    def notice(self, charge: Charge) -> dict[str, Any]:
        return {
            "site_cd": charge.account,
            "tno": charge.pg_tid,
            "order_no": charge.order_id,
            "tx_cd": "TX00",
            "tx_tm": _time(self.clock.now()),
            "ipgm_name": "홍길동",
            "remitter": "홍길동",
            "ipgm_mnyx": str(charge.amount),
            "bank_code": "BK88",
            "account": charge.details["number"],
            "op_cd": "13" if charge.unpaid else "50",
            "noti_id": self._number(),
        }

    def _is_duplicate(self, account: str, card: str, amount: int) -> bool:
        today = self.clock.kst().date()
        return any(
            (charge.account, charge.card, charge.amount, charge.state) == (account, card, amount, "captured")
            and seoul(charge.time).date() == today
            for charge in self.books.charges
        )

    def _key(self, account: str, body: dict[str, str], key_field: str, group_field: str) -> Key:
        _need(body, key_field, group_field)
        key = self.books.keys.get(body[key_field])
        if key is None or key.account != account or body[group_field] != ACCOUNTS[account]["group_id"]:
            raise Refusal("SB07")
        if key.deleted:
            raise Refusal("SB08")
        return key

    def _card(self, body: dict[str, str]) -> str:
        """The card number, once everything about the card is in order. Birth and password may be left out."""
        _need(body, "card_no", "card_expiry")
        if not re.fullmatch(r"\d{14,16}", body["card_no"]):
            raise Refusal("CCX3")
        if not re.fullmatch(r"\d\d(0[1-9]|1[0-2])", body["card_expiry"]):
            raise Refusal("CCX2")
        if body["card_expiry"] < f"{self.clock.kst():%y%m}":
            raise Refusal("CCX2")
        holder = re.fullmatch(r"\d{6}|\d{10}|", body.get("card_taxno", ""))
        if not holder or not re.fullmatch(r"\d{2}|", body.get("card_pwd", "")):
            raise Refusal("CCX5")
        return body["card_no"]

    def _approval(self, charge: Charge) -> dict[str, str]:
        """The answer to a charge. It names no currency."""
        common = {name: value for name, value in self._payment(charge).items() if name in APPROVAL_FIELDS}
        if _method(charge) != "card":
            return common | {"escw_yn": "N"}
        return common | {
            "card_mny": str(charge.amount),
            "coupon_mny": "0",
            "card_cd": "CCSS",
            "acqu_cd": "CCSS",
            "acqu_name": "삼성카드",
            "van_apptime": common["app_time"],
            "van_cd": "VNKC",
            "escw_yn": "N",
            "partcanc_yn": "Y",
            "card_bin_type_01": "0",
            "card_bin_type_02": "0",
        }

    def _payment(self, charge: Charge) -> dict[str, str]:
        """A charge as the inquiry shows it: no list of its cancels, only what is left and when the last one was."""
        last = charge.cancels[-1] if charge.cancels else None
        status = {"captured": "STSR", "declined": "STAF", "waiting": "STIR", "expired": "STIR"}.get(
            charge.state, "STPC"
        )
        if last and last.pg_tid == charge.pg_tid:
            status = "STSC"
        common = {
            "tno": charge.pg_tid,
            "order_no": charge.order_id,
            "pay_method": PAY_TYPES[_method(charge)],
            "amount": str(charge.amount),
            "can_time": _time(last.time) if last else "",
            "app_time": _time(charge.time),
        }
        balance, app_no = str(charge.balance), "" if charge.declined_by else charge.details["app_no"]
        match _method(charge):
            case "trans":
                named = {"bank_name": "신한은행", "bank_code": "BK88", "stat_bk_cd": status, "bk_rem_mny": balance}
            case "phone":
                named = {"stat_hp_cd": status, "hp_rem_mny": balance, "hp_app_time": common["app_time"]}
            case "vbank":
                named = self._account(charge) | {"shop_status": status, "rem_mny": balance}
            case _:
                named = {
                    "rem_mny": balance,
                    "stat_ca_cd": status,
                    "card_name": "삼성카드",
                    "card_no": charge.card,
                    "quota": charge.details["quota"],
                    "noinf": "N",
                    "app_no": app_no,
                    "canc_card_yn": "Y" if status == "STSC" else "N",
                }
        return common | named

    def _account(self, charge: Charge) -> dict[str, str]:
        paid_at = charge.details.get("paid_at")
        return {
            "bankname": "신한은행",
            "bankcode": "BK88",
            "depositor": "한국사이버결제",
            "account": charge.details["number"],
            "va_date": _time(charge.details["due"]),
            "ipgm_mnyx": str(charge.amount) if paid_at else "",
            "ipgm_time": _time(paid_at) if paid_at else "",
        }

    def _number(self) -> str:
        """14 digits, the first eight of them the day; the rest counted: drawn at random, some would be drawn twice."""
        return f"{self.clock.kst():%Y%m%d}{next(_numbers) % 1_000_000:06d}"


APPROVAL_FIELDS = {
    "tno", "order_no", "pay_method", "amount", "app_time", "card_name", "card_no", "quota", "noinf", "app_no",
    "bank_name", "bank_code", "hp_app_time", "bankname", "bankcode", "depositor", "account", "va_date",
}  # fmt: skip


def _ok(value: dict[str, str]) -> Answer:
    return json_answer(
        200, {"res_cd": "0000", "res_msg": MESSAGES["0000"], "res_en_msg": "processing completed", **value}
    )


def _time(moment: float) -> str:
    return seoul(moment).strftime("%Y%m%d%H%M%S")


def _hub_operation(body: dict[str, Any]) -> str:
    if (body.get("pay_method"), body.get("tx_type")) == ("BATCH", "10005010"):
        return "delete"
    return OPERATIONS.get(str(body.get("card_tx_type")), "charge")


def _method(charge: Charge) -> str:
    """V1's word. What was not paid in the window was paid by card."""
    return str(charge.details.get("method", "card"))


def _refund_type(body: dict[str, str]) -> str:
    """What would be sent for a card, once all that a deposit is refunded with is in order."""
    _need(body, "mod_sub_type", "mod_comp_type", "mod_bankcode", "mod_account", "mod_depositor")
    kinds = {("STHD", "MDSC00"): "STSC", ("STPD", "MDSC03"): "STPC", ("STPD", "MDSC04"): "STPC"}
    kind = kinds.get((body["mod_type"], body["mod_sub_type"]))
    if kind is None or body["mod_comp_type"] != "MDCP01" or ("tax_flag" in body) != (body["mod_sub_type"] == "MDSC04"):
        raise Refusal("SB03", "포맷에러(mod_sub_type)")
    if not re.fullmatch(r"BK\d{2}", body["mod_bankcode"]) or not re.fullmatch(r"\d{1,20}", body["mod_account"]):
        raise Refusal("SB03", "포맷에러(환불계좌)")
    return kind


def _check_texts(body: dict[str, Any]) -> None:
    texts = [str(body.get(name, "")) for name in ("good_name", "buyr_name", "buyr_mail", "buyr_tel2")]
    if len(texts[0].encode()) > 100 or any(map(_has_forbidden, texts)):
        raise Refusal("SB03", "포맷에러(주문정보)")
    if not re.fullmatch(r"[0-9A-Za-z]{1,40}", body["ordr_idxx"]):
        raise Refusal("SB03", "포맷에러(ordr_idxx)")
    if body.get("tax_flag") and sum(_amount(body[f"comm_{n}_mny"]) for n in ("tax", "vat", "free")) != _amount(
        body["good_mny"]
    ):
        raise Refusal("8059")


def _need(body: dict[str, str], *names: str) -> None:
    missing = [name for name in names if not body.get(name)]
    if missing:
        raise Refusal("DM10", f"필수값 누락({missing[0]})")


def _amount(text: str) -> int:
    if not re.fullmatch(r"\d{1,12}", text):
        raise Refusal("SB03", "포맷에러(금액)")
    return int(text)


def _has_forbidden(text: str) -> bool:
    return bool(re.search(r"[,&;\n\\|'\"<>]", text))


def _order_amount(body: dict[str, str]) -> int:
    """The amount of a charge, once everything about the order is in order."""
    amount = _amount(body["amount"])
    if not amount or _amount(body["card_mny"]) != amount:
        raise Refusal("8059")
    if (body.get("pay_method"), body["currency"]) != ("CARD", WON):
        raise Refusal("3101")
    _check_texts({**body, "good_mny": body["amount"]})
    if not re.fullmatch(r"\d{2}", body["quota"]) or (int(body["quota"]) > 1 and amount < 50_000):
        raise Refusal("CCX4")
    return amount


def _check_signature(account: str, body: dict[str, str], *names: str) -> None:
    """SHA256withRSA over site code and the named fields, joined by ^."""
    _need(body, "kcp_sign_data")
    certificate = x509.load_pem_x509_certificate(ACCOUNTS[account]["certificate"].encode())
    key = certificate.public_key()
    assert isinstance(key, RSAPublicKey)
    text = "^".join([account, *(body[name] for name in names)])
    try:
        key.verify(base64.b64decode(body["kcp_sign_data"], validate=True), text.encode(), PKCS1v15(), SHA256())
    except (ValueError, InvalidSignature):
        raise Refusal("SB02") from None
