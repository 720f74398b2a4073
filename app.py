"""Every entry point of the service, and nothing else."""

from typing import Any

from chalice.app import Chalice, Rate

from chalicelib import config, observability
from chalicelib.api import (
    admin,
    alarms,
    auth,
    codes,
    console,
    lists,
    notices,
    payments,
    prepare,
    receipts,
    reference,
    schedules,
    subscribe,
    tasks,
    unsupported,
    virtual_accounts,
    webhooks,
    windows,
)

app = Chalice(app_name="smart-routing", configure_logs=False)
observability.install(config.log_level())
app.register_blueprint(auth.bp)
app.register_blueprint(payments.bp)
app.register_blueprint(lists.bp)
app.register_blueprint(subscribe.bp)
app.register_blueprint(schedules.bp)
app.register_blueprint(prepare.bp)
app.register_blueprint(receipts.bp)
app.register_blueprint(virtual_accounts.bp)
app.register_blueprint(notices.bp)
app.register_blueprint(codes.bp)
app.register_blueprint(unsupported.bp)
app.register_blueprint(admin.bp)
app.register_blueprint(alarms.bp)
app.register_blueprint(webhooks.bp)
app.register_blueprint(windows.bp)
app.register_blueprint(console.bp)
app.register_blueprint(reference.bp)
if config.on_lambda():
    tasks.warm()


@app.schedule(Rate(1, unit=Rate.MINUTES))
def sweep(event: Any) -> None:  # noqa: ARG001 - Chalice hands it over
    """Hand over what is due within the horizon."""
    tasks.sweep()


@app.on_sqs_message(queue=config.queue_name("PAYMENTS_QUEUE_URL"), batch_size=10)
def run_payments(event: Any) -> dict[str, Any]:
    """Reserved payments and settlement."""
    return tasks.work(event)


@app.on_sqs_message(queue=config.queue_name("NOTICES_QUEUE_URL"), batch_size=10, maximum_concurrency=50)
def deliver_notices(event: Any) -> dict[str, Any]:
    """Webhooks."""
    return tasks.work(event)


@app.on_sqs_message(queue=config.queue_name("SLOW_NOTICES_QUEUE_URL"), batch_size=10, maximum_concurrency=20)
def deliver_slow_notices(event: Any) -> dict[str, Any]:
    """Webhooks to receivers that keep one waiting."""
    return tasks.work(event)
