"""Sends dead letters to Kafka from the Python worker that refused the records, and waits for their receipt."""

from functools import cache

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from clients import kafka
from errors import ServerError, UnreachableError
from settings import settings
from streaming.decode import Letter

SENT_WITHIN_S = 60


def send(letters: list[Letter], topic: str) -> None:
    """Send the letters and return when the broker has them all; raises ServerError else, so that the batch fails.

    A letter may be sent again when its batch is repeated: topic, partition and offset in its headers identify it.
    """
    producer = _producer()
    refused: list[KafkaError] = []

    def received(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            refused.append(error)

    for letter in letters:
        headers: list[tuple[str, str | bytes | None]] = [*letter.context.headers()]
        while True:
            try:
                producer.produce(topic, letter.value, letter.key, headers=headers, on_delivery=received)
                break
            except BufferError:
                producer.poll(1)
            except KafkaException as error:
                raise ServerError(f"kafka: a letter of {letter.context} cannot go to {topic}: {error}") from error
    missing = producer.flush(SENT_WITHIN_S)
    if missing:
        raise UnreachableError(
            f"kafka {settings().kafka_bootstrap} took no receipt of {missing} letters for {topic} in {SENT_WITHIN_S} s"
        )
    if refused:
        raise ServerError(f"kafka: {len(refused)} letters for {topic} were refused: {refused[0]}")


@cache
def _producer() -> Producer:
    return kafka.producer()
