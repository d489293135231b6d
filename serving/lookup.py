"""What the stream reads of Redis for one batch: profiles of every payment, windows of its cards, in one round trip."""

from collections.abc import Mapping, Sequence

from errors import ServerError
from features import Profile, acceptor_id
from serving.intake import Arrival
from serving.online import ABSENT, UNREACHABLE, judge
from serving.packing import Kind
from serving.pipe import Pipe
from serving.window_store import Card, key, read

METAS = (Kind.CARD.meta_key, Kind.ACCEPTOR.meta_key)
Profiles = list[tuple[Profile, Profile]]


async def find(
    pipe: Pipe, arrivals: Sequence[Arrival], owners: Mapping[str, int]
) -> tuple[Profiles, dict[str, Card] | None]:
    """Return each payment's card and acceptor profile, and the windows of the cards in `owners` (card to partition).

    None instead of windows: Redis is away, and every profile is unreachable.
    """
    acceptors = [acceptor_id(arrival.payment) for arrival in arrivals]
    keys: list[bytes] = [*METAS, *map(key, owners)]
    for arrival, acceptor in zip(arrivals, acceptors, strict=True):
        keys.append(Kind.CARD.prefix + arrival.payment["card_id"].encode())
        keys.append(Kind.ACCEPTOR.prefix + (acceptor or "").encode())
    try:
        values = (await pipe.send([(b"MGET", *keys)]))[0]
    except ServerError:
        return [(UNREACHABLE, UNREACHABLE if acceptor else ABSENT) for acceptor in acceptors], None
    metas, windows = values[: len(METAS)], values[len(METAS) : len(METAS) + len(owners)]
    cards = read(owners, windows)
    rest = iter(values[len(METAS) + len(owners) :])
    profiles = []
    for arrival, acceptor in zip(arrivals, acceptors, strict=True):
        time_us, card, merchant = arrival.payment["event_time"], next(rest), next(rest)
        profiles.append((
            judge(Kind.CARD, metas[0], card, time_us),
            judge(Kind.ACCEPTOR, metas[1], merchant, time_us) if acceptor else ABSENT,
        ))  # fmt: skip
    return profiles, cards
