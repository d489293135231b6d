"""What training takes away from payments, at random and always the same."""

from collections import Counter

from ml.dataset.masking import CASES, PROFILES, Lost, lost


def test_shares():
    """Twelve percent lose what is looked up, in five equal cases, and four percent the optional fields besides."""
    n = 50_000
    counted = Counter(lost("shop", f"t{i}") for i in range(n))
    share = {
        case: sum(c for found, c in counted.items() if found & ~Lost.FIELDS == case) / n
        for case in (Lost.CARD, Lost.ACCEPTOR, PROFILES, Lost.WINDOW, PROFILES | Lost.WINDOW)
    }
    assert set(CASES.values()) == set(share)
    assert all(abs(found - 0.024) < 0.003 for found in share.values()), share
    assert abs(sum(c for found, c in counted.items() if found & Lost.FIELDS) / n - 0.04) < 0.004
    assert abs(counted[Lost.NOTHING] / n - 0.88 * 0.96) < 0.006


def test_by_identity_alone():
    """The same payment loses the same each time; another source with the same id need not."""
    assert [lost("a", f"t{i}") for i in range(500)] == [lost("a", f"t{i}") for i in range(500)]
    assert [lost("a", f"t{i}") for i in range(500)] != [lost("b", f"t{i}") for i in range(500)]
