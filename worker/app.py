"""The Celery application: `celery -A worker.app worker -Q ingest`.

One place for everything that decides whether a message can be lost.
"""

from typing import Any

from celery import Celery, signals

from catalog.queues import BULK_QUEUE, INGEST_QUEUE, TAG_CHUNK, TAG_PRODUCT
from catalog.settings import settings
from worker.broker import celery_url, redis_url
from worker.reserved import record_keys
from worker.tagging.identity import WORKER
from worker.taking import TakingAMQP
from worker.watch.logs import log_as_json

app = Celery("worker", include=["worker.tasks"], amqp=TakingAMQP)


def _configuration() -> dict[str, Any]:
    chosen = settings()
    return configuration() | {
        "broker_transport_options": {
            "visibility_timeout": chosen.visibility_timeout_s,
            **record_keys(WORKER),
        },
    }


def configuration() -> dict[str, Any]:
    """What all applications share."""
    chosen = settings()
    return {
        "broker_url": celery_url(redis_url(chosen)),
        "broker_transport_options": {"visibility_timeout": chosen.visibility_timeout_s},
        # Wait for a broker that starts after the worker, and for one that was restarted.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "task_serializer": "json",
        "accept_content": ["json"],
        # Outcomes live in SQL; a result backend would store them twice.
        "task_ignore_result": True,
        "result_backend": None,
        # A message is acknowledged after its outcome is committed, never before.
        "task_acks_late": True,
        "task_acks_on_failure_or_timeout": False,
        "task_reject_on_worker_lost": True,
        "task_routes": {
            TAG_PRODUCT: {"queue": INGEST_QUEUE},
            TAG_CHUNK: {"queue": BULK_QUEUE},
        },
        "task_default_queue": INGEST_QUEUE,
        # What runs when the connection drops goes on: writing twice changes nothing.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # Before a cold shutdown (SIGQUIT, a broker without memory): enough for a usual batch to be
        # stored. Celery sleeps through all of it.
        "worker_soft_shutdown_timeout": min(5.0, float(chosen.grace_period_s)),
        "worker_enable_soft_shutdown_on_idle": False,
        "worker_hijack_root_logger": True,
        "worker_proc_alive_timeout": 30.0,
    }


# Evaluated when the configuration is first needed: importing this module reads nothing.
app.add_defaults(_configuration)
signals.after_setup_logger.connect(log_as_json)
