"""When a reserved payment is to run."""

from datetime import UTC, datetime

from chalicelib.api.schemas.fields import Whole, Wire
from chalicelib.domain.errors import InvalidRequest

FURTHEST_SCHEDULE = 20 * 366 * 86400
"""Twenty years: catches milliseconds sent for seconds."""


class ScheduleTime(Wire):
    schedule_at: Whole

    def when(self, where: str, now: datetime) -> datetime:
        """where: prefix of field names in errors, e.g. `schedules[3].`."""
        field = f"{where}schedule_at"
        at = self.schedule_at
        if at > now.timestamp() + FURTHEST_SCHEDULE:
            raise InvalidRequest(
                field, f"{field}: 초 단위 Unix 시각이어야 합니다 (밀리초가 아닙니다). (seconds, not milliseconds)"
            )
        if at <= now.timestamp():
            raise InvalidRequest(field, f"{field}: 예약 시각은 미래여야 합니다. (must be in the future)")
        return datetime.fromtimestamp(at, UTC)
