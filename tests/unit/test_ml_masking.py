"""What training takes away from payments, at random and always the same."""

from collections import Counter

from ml.dataset.masking import CASES, PROFILES, Masked, mask


def test_shares():
    """Twelve percent lose what is looked up, in five equal cases, and four percent the optional fields besides."""
    n = 50_000
    counted = Counter(mask("shop", f"t{i}") for i in range(n))
    share = {
        case: sum(c for found, c in counted.items() if found & ~Masked.FIELDS == case) / n
        for case in (Masked.CARD, Masked.ACCEPTOR, PROFILES, Masked.WINDOW, PROFILES | Masked.WINDOW)
    }
    assert set(CASES.values()) == set(share)
    assert all(abs(found - 0.024) < 0.003 for found in share.values()), share
    assert abs(sum(c for found, c in counted.items() if found & Masked.FIELDS) / n - 0.04) < 0.004
    assert abs(counted[Masked.NOTHING] / n - 0.88 * 0.96) < 0.006


def test_by_identity_alone():
    """The same payment loses the same each time; another source with the same id need not."""
    assert [mask("a", f"t{i}") for i in range(500)] == [mask("a", f"t{i}") for i in range(500)]
    assert [mask("a", f"t{i}") for i in range(500)] != [mask("b", f"t{i}") for i in range(500)]
