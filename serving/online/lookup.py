"""What the stream reads of Redis for one batch, in one round trip: profiles, windows, and whether they still stand."""

from collections.abc import Mapping, Sequence
from itertools import islice

from errors import ServerError
from features import Profile, acceptor_id
from scoring.notes import Note
from serving.online import notes
from serving.online.packing import Kind
from serving.online.pipe import Pipe
from serving.online.profiles import ABSENT, UNREACHABLE, judge
from serving.online.windows import PROGRESS_KEYS, Card, Progress, key, read
from serving.stream.intake import Arrival

METAS = (Kind.CARD.meta_key, Kind.ACCEPTOR.meta_key)
Profiles = list[tuple[Profile, Profile]]
Notes = dict[str, tuple[Note, ...]]
"""By card; only of cards that have some."""


async def find(
    pipe: Pipe, arrivals: Sequence[Arrival], owners: Mapping[str, int], stored: Mapping[int, int]
) -> tuple[Profiles, dict[str, Card] | None, Notes]:
    """Return each payment's profiles, the windows of the cards in `owners` (card to partition), and cards' notes.

    `stored` has the next offset that each of our whole partitions must have in Redis: windows of another progress are
    left out. None instead of windows: Redis is away, every profile is unreachable, and no note is known.
    """
    acceptors = [acceptor_id(arrival.payment) for arrival in arrivals]
    keys: list[bytes] = [*METAS, *PROGRESS_KEYS, *map(key, owners)]
    for arrival, acceptor in zip(arrivals, acceptors, strict=True):
        keys.append(Kind.CARD.prefix + arrival.payment["card_id"].encode())
        keys.append(Kind.ACCEPTOR.prefix + (acceptor or "").encode())
    card_ids = list(dict.fromkeys(arrival.payment["card_id"] for arrival in arrivals))
    keys += map(notes.key, card_ids)
    try:
        values = (await pipe.send([(b"MGET", *keys)]))[0]
    except ServerError:
        return [(UNREACHABLE, UNREACHABLE if acceptor else ABSENT) for acceptor in acceptors], None, {}
    left = iter(values)
    metas, progress = list(islice(left, len(METAS))), list(islice(left, len(PROGRESS_KEYS)))
    stand = {partition for partition, at in stored.items() if Progress.unpack(progress[partition]).next_offset == at}
    found = read(owners, list(islice(left, len(owners))))
    cards = {card_id: card for card_id, card in found.items() if owners[card_id] in stand}
    profiles = []
    for arrival, acceptor in zip(arrivals, acceptors, strict=True):
        time_us, card, merchant = arrival.payment["event_time"], next(left), next(left)
        profiles.append(
            (
                judge(Kind.CARD, metas[0], card, time_us),
                judge(Kind.ACCEPTOR, metas[1], merchant, time_us) if acceptor else ABSENT,
            )
        )
    noted = {card_id: notes.unpack(value) for card_id, value in zip(card_ids, left, strict=True) if value is not None}
    return profiles, cards, noted
