"""What the parts of the local run call the same things."""

REGION = "ap-northeast-2"
ACCOUNT = "123456789012"
KEY_ALIAS = "alias/smart-routing-local"
