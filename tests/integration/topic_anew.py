"""A topic of a test's own deleted and made anew under its name."""

import time

from confluent_kafka.admin import AdminClient

from clients import kafka
from contracts.topics import Topic
from settings import settings
from tests.conftest import wait_until


def make_anew(topic: Topic, namespace: str) -> None:
    """Delete the topic of a namespace, with all that stands on it, and make it again: Kafka gives it another id."""
    # Kept by its name: a client that is gone never answers.
    admin = AdminClient({"bootstrap.servers": settings().kafka_bootstrap})
    name = f"{namespace}.{topic.name}"
    admin.delete_topics([name])[name].result(30)
    wait_until(lambda: name not in admin.list_topics(timeout=10).topics, "the topic is gone", 30)
    time.sleep(1)
    admin.create_topics([kafka.new_topic(topic, namespace)])[name].result(30)
    wait_until(lambda: name in admin.list_topics(timeout=10).topics, "the topic is there again", 30)
