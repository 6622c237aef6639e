"""``policy diff`` shows the effect of a change, not its text."""

import json
import subprocess
from pathlib import Path
from random import Random

import pytest

import intelshare
from intelshare import instant
from intelshare.builtin import builtin_registry, treaty_packs
from intelshare.cli.app import run
from intelshare.instant import Instant
from intelshare.labels import Label
from intelshare.policy import Request, compile_world, decide, parse_overlay, parse_treaty
from intelshare.policy_tools import effects
from intelshare.policy_tools.diff import ANY_OTHER
from intelshare.policy_tools.mutation import overlay_mutants, treaty_mutants

TREATY = (
    Path(intelshare.__file__).parent / "demo" / "scenario" / "treaties" / "demo-climate.toml"
).read_text()
OVERLAY = '[[{0}]]\nid = "FRA-x"\nsource = "s"\nwhen = {{ flags = ["personal-data"], to = ["KEN"] }}\n'


@pytest.fixture
def compare(tmp_path, monkeypatch, capsys):
    """The rows of the effect between two texts of the demo's treaty."""
    monkeypatch.chdir(tmp_path)

    def run_diff(base, head, *options):
        for name, text in (("base", base), ("head", head)):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "t.toml").write_text(text)
        code = run(["policy", "diff", "base", "head", "--json", *options])
        return code, json.loads(capsys.readouterr().out)["effects"]

    return run_diff


def test_other_words_and_order_are_no_effect(compare):
    assert compare(TREATY, TREATY.replace("Framework on", "A framework on") + "\n# note\n") == (0, [])


def test_withdrawal_takes_away_from_its_day_on(compare):
    left = 'member = "KEN"\nratified = 2023-11-20\nin_force = 2024-01-01\nwithdrawn = 2027-01-01'
    code, found = compare(TREATY, TREATY.replace(left.rsplit("\n", 1)[0], left))
    assert code == 2
    assert {(row["widens"], row["since"], row["until"], row["after"]) for row in found} == {
        (False, "2027-01-01T00:00:00Z", None, "WITHDRAWN")
    }
    assert {frozenset((row["from"], row["to"])) for row in found} == {
        frozenset(("FRA", "KEN")),
        frozenset(("USA", "KEN")),
    }


def test_raised_ceiling_widens(compare):
    code, found = compare(TREATY, TREATY.replace('ceiling = "R1"', 'ceiling = "R2"'), "--only-widening")
    assert code == 2
    assert all(row["widens"] and row["before"] == "EXCEEDS_CEILING" for row in found)
    assert {tuple(row["levels"]) for row in found} == {("R2",)}


def test_only_widening_is_content_with_less(compare):
    narrower = TREATY.replace('ceiling = "R1"', 'ceiling = "R0"')
    assert compare(TREATY, narrower, "--only-widening") == (0, [])
    assert compare(TREATY, narrower)[0] == 2


@pytest.mark.parametrize(("kind", "after"), [("forbid", "NATIONAL_LAW_FORBIDS"), ("hold", "hold")])
def test_new_overlay_takes_away_only_what_it_names(compare, tmp_path, kind, after):
    compare(TREATY, TREATY)
    (tmp_path / "head" / "overlays").mkdir()
    (tmp_path / "head" / "overlays" / "fra.toml").write_text(OVERLAY.format(kind))
    _, found = compare(TREATY, TREATY)
    assert {(row["from"], row["to"], row["flag"], row["after"]) for row in found} == {
        ("FRA", "KEN", "personal-data", after)
    }


@pytest.fixture
def git(tmp_path, monkeypatch):
    """A repository with a policy folder, and a way to run git in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("HOME", str(tmp_path))

    def run_git(*arguments):
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *arguments], check=True, capture_output=True)

    run_git("init", "-b", "main")
    return run_git


def commit(git, **files):
    for name, text in files.items():
        path = Path(name.replace("__", "/") + ".toml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
    git("add", "-A")
    git("commit", "-m", "c")


def test_commits_are_compared_and_markdown_is_a_table(git, capsys):
    commit(git, t=TREATY)
    commit(git, t=TREATY.replace('ceiling = "R1"', 'ceiling = "R3"'))
    assert run(["policy", "diff", "HEAD~1..HEAD", "--format", "markdown"]) == 2
    out = capsys.readouterr().out
    assert out.startswith(
        "**more becomes releasable between 6 pairs of members, less between 0**\n\n|  | from |"
    )
    assert "| + | FRA | KEN USA | climate-disaster | R3 |" in out
    assert run(["policy", "diff", "HEAD..HEAD", "--format", "markdown"]) == 0
    assert capsys.readouterr().out == "The effect of the policy is the same.\n"


def test_what_is_not_in_git_is_not_found(git, capsys):
    commit(git, t=TREATY)
    assert run(["policy", "diff", "HEAD..absent"]) == 8
    assert run(["policy", "diff", "--", "--output=x..HEAD"]) == 8
    assert not Path("x").exists()
    assert run(["policy", "diff", "HEAD"]) == 2
    assert run(["policy", "diff", "a", "b", "c"]) == 2
    assert "give BASE..HEAD or two folders" in capsys.readouterr().err


def test_two_dots_compare_commits_and_three_the_branch_with_where_it_left(git, capsys):
    commit(git, t=TREATY)
    git("switch", "-c", "change")
    commit(git, t=TREATY.replace('ceiling = "R1"', 'ceiling = "R2"'))
    git("switch", "main")
    commit(
        git, t=TREATY.replace('["climate-disaster", "cyber"]', '["climate-disaster", "cyber", "maritime"]')
    )

    def signs(sides):
        assert run(["policy", "diff", sides, "--json"]) == 2
        return {(row["widens"], row["category"]) for row in json.loads(capsys.readouterr().out)["effects"]}

    widened = {(True, "climate-disaster"), (True, "cyber")}
    assert signs("main..change") == widened | {(False, "maritime")}
    assert signs("main...change") == widened


def test_folder_of_the_policy_is_taken_from_where_one_stands(git, monkeypatch, capsys):
    wider = TREATY.replace('ceiling = "R1"', 'ceiling = "R3"')
    commit(git, policy__t=TREATY, other__t=TREATY.replace("demo-climate", "other"))
    commit(git, policy__t=wider)
    assert run(["policy", "diff", "HEAD~1..HEAD", "--path", "other"]) == 0
    assert run(["policy", "diff", "HEAD~1..HEAD", "--path", "policy"]) == 2
    monkeypatch.chdir("policy")
    assert run(["policy", "diff", "HEAD~1..HEAD"]) == 2
    assert run(["policy", "diff", "HEAD~1..", "--only-widening"]) == 2
    assert run(["policy", "diff", "HEAD..HEAD~1", "--only-widening"]) == 0
    assert run(["policy", "diff", "HEAD..HEAD~1"]) == 2


def test_files_come_go_and_are_renamed(git, capsys):
    law = OVERLAY.format("forbid")
    commit(git, t=TREATY)
    commit(git, t=None, renamed=TREATY)
    assert run(["policy", "diff", "HEAD~1..HEAD"]) == 0
    commit(git, overlays__fra=law)
    assert run(["policy", "diff", "HEAD~1..HEAD", "--only-widening"]) == 0
    assert run(["policy", "diff", "HEAD~1..HEAD"]) == 2
    assert "FRA   KEN" in capsys.readouterr().out
    commit(git, renamed=None)
    assert run(["policy", "diff", "HEAD~1..HEAD", "--json"]) == 2
    effects = json.loads(capsys.readouterr().out)["effects"]
    assert {row["after"] for row in effects} == {"NO_TREATY"}


def test_commit_with_a_wrong_file_is_an_error_with_its_line(git, capsys):
    commit(git, t=TREATY)
    commit(git, t=TREATY.replace('"KEN"', '"KEM"'))
    assert run(["policy", "diff", "HEAD~1..HEAD"]) == 1
    err = capsys.readouterr().err
    assert "error[PARTY_UNKNOWN]" in err
    assert "--> t.toml:" in err


REGISTRY = builtin_registry()
PACKS = [
    parse_treaty(path.read_text("utf-8"), path.name, REGISTRY)
    for name, path in treaty_packs().items()
    if name in ("jcpoa", "gsa-fin-usa", "gsa-geo-pol")
]
LAW = parse_overlay(
    '[[forbid]]\nid = "a"\nsource = "s"\nwhen = { to_group = "NATO", level_at_least = "NATO SECRET" }\n'
    '[[refuse]]\nid = "b"\nsource = "s"\n'
    'when = { categories = ["proliferation"], flags = ["personal-data"] }\n',
    "fin.toml",
    REGISTRY,
)
MEMBERS = [*REGISTRY.states, *(code for code in REGISTRY.groups if REGISTRY.is_organisation(code))]
BASE = compile_world(REGISTRY, MEMBERS, PACKS, [LAW])


def named(pair, *worlds):
    """Every category that a treaty of the two or the law of one names."""
    treaties = [
        own
        for world in worlds
        for own in world.treaties
        if set(pair) <= {party.member for party in own.parties}
    ]
    words = {word for own in treaties for one in own.provisions for word in one.categories}
    words |= {
        word
        for own in treaties
        for party in own.parties
        for one in party.reservations
        for word in one.categories or ()
    }
    return words | ({"proliferation"} if "FIN" in pair else set())


MUTANTS = [
    *Random(1).sample([mutant for treaty in PACKS for mutant in treaty_mutants(treaty, REGISTRY)], 18),
    *overlay_mutants(LAW),
]


def changed(mutant):
    treaties = [
        mutant.treaty if mutant.treaty is not None and own.id == mutant.treaty.id else own for own in PACKS
    ]
    return compile_world(REGISTRY, MEMBERS, treaties, [LAW if mutant.overlay is None else mutant.overlay])


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_effect_says_exactly_what_is_decided_otherwise(mutant):
    """Held against deciding again, at the edges of all that is dated."""
    random = Random(mutant.what)
    head = changed(mutant)
    told = effects(BASE, head)
    about = mutant.treaty or next(own for own in PACKS if own.id == "gsa-fin-usa")
    members = sorted({party.member for party in about.parties} | {"FIN", "CHE"})
    edges = [
        change
        for change in BASE.changes
        if instant.parse("1900-01-01") < change < instant.parse("2100-01-01")
    ]
    categories = [
        "proliferation",
        "arms-transfer",
        "missile-technology",
        "atomic-energy",
        "what nobody names",
    ]
    for _ in range(150):
        sender, recipient = random.sample(members, 2)
        at = random.choice(edges)
        at = random.choice((at, Instant(at - 1)))
        levels = REGISTRY.ladder(sender).at(at).levels
        if not levels:
            continue
        level = random.choice(levels)
        flag = random.choice((None, None, "personal-data"))
        category = random.choice(categories)
        request = Request(
            Label(sender, level.name, (sender, recipient)),
            category,
            at,
            sender,
            recipient,
            flags=frozenset() if flag is None else frozenset((flag,)),
        )
        before, after = decide(BASE, request), decide(head, request)
        lines = [
            line
            for line in told
            if (line.sender, line.recipient) == (sender, recipient)
            and line.category in (category, ANY_OTHER)
            and level.reference in line.levels
            and line.start <= at < line.until
        ]
        lines = [line for line in lines if line.category == category] or [
            line for line in lines if category not in named((sender, recipient), BASE, head)
        ]
        # A flag is told where it makes the effect another one; else the line without it says it.
        own = [line for line in lines if line.flag == flag]
        plain = [line for line in lines if line.flag is None]
        differs = before.outcome is not after.outcome
        assert not own or differs, (mutant.what, request)
        assert not differs or own or (flag is not None and plain), (mutant.what, request)
        if differs:
            line = (own or plain)[0]
            assert (line.before, line.after) == tuple(
                decision.codes[0] if decision.codes else decision.outcome.value
                for decision in (before, after)
            )


def test_the_ladder_of_a_treaty_frees_its_party_alone_and_from_its_first_day():
    text = (
        'id = "t"\ntitle = "t"\nkind = "regional"\nin_force = 2020-01-01\nsource = "s"\n'
        '[[provision]]\narticle = "1"\ncategories = ["cyber"]\nceiling = "R4"\n'
    ) + "".join(
        f'[[party]]\nmember = "{member}"\nin_force = 2020-01-01\n'
        for member in ("FRA", "NGA", "GHA", "SEN", "SWE")
    )
    rows = (
        '[[ladder]]\nauthority = "NGA"\nfrom = 2022-01-01\nuntil = 2024-01-01\n'
        'levels = { R1 = "RESTRICTED" }\n'
        '[[ladder]]\nauthority = "NGA"\nfrom = 2024-01-01\nlevels = { R2 = "RESTRICTED", R3 = "SECRET" }\n'
    )
    before, after = (
        compile_world(REGISTRY, REGISTRY.states, [parse_treaty(one, "t.toml", REGISTRY)])
        for one in (text, text + rows)
    )
    told = {
        (one.sender, instant.show(one.start)[:10], tuple(level.name for level in one.levels))
        for one in effects(before, after)
        if one.recipient == "NGA" and one.widens
    }
    assert {one.recipient for one in effects(before, after)} == {"NGA"}
    assert told == {
        ("FRA", "2022-01-01", ("R1",)),
        ("SWE", "2022-01-01", ("R1",)),
        ("FRA", "2024-01-01", ("R3",)),  # It has no R2 since 2021.
        ("SWE", "2024-01-01", ("R2", "R3")),
    }


LIE = """[[ladder]]
authority = "LIE"
source = "invented"
[[ladder.row]]
R1 = {{ name = "LOW" }}
R3 = {{ name = "{0}" }}
"""
GROUP = '[[group]]\ncode = "RHINE"\nname = "n"\nsource = "s"\n[[group.membership]]\nmembers = {0}\n'
WITH_LIE = TREATY + '\n[[party]]\nmember = "LIE"\nin_force = 2024-01-01\n'


def test_levels_that_come_and_go_are_an_effect_although_no_treaty_changed(compare, tmp_path, capsys):
    assert compare(WITH_LIE, WITH_LIE) == (0, [])
    (tmp_path / "head" / "ladders").mkdir()
    (tmp_path / "head" / "ladders" / "lie.toml").write_text(LIE.format("GEHEIM"))
    code, found = compare(WITH_LIE, WITH_LIE)
    assert code == 2
    assert {(row["widens"], tuple(row["levels"])) for row in found} == {(True, ("R1",))}
    assert {"LIE"} == set.intersection(*({row["from"], row["to"]} for row in found))
    # A name alone changes no decision, and is told all the same.
    (tmp_path / "base" / "ladders").mkdir()
    (tmp_path / "base" / "ladders" / "lie.toml").write_text(LIE.format("GEHEIM"))
    (tmp_path / "head" / "ladders" / "lie.toml").write_text(LIE.format("STRENG"))
    assert compare(WITH_LIE, WITH_LIE) == (2, [])
    assert run(["policy", "diff", "base", "head"]) == 2
    said = capsys.readouterr().out
    assert "levels of LIE: GEHEIM no longer mean what they did; STRENG (R3) can be written" in said
    assert "no decision changes" in said
    # The other way round it takes away.
    (tmp_path / "head" / "ladders" / "lie.toml").unlink()
    code, found = compare(WITH_LIE, WITH_LIE)
    assert (code, {row["widens"] for row in found}) == (2, {False})
    assert compare(WITH_LIE, WITH_LIE, "--only-widening") == (0, [])


def test_a_group_that_a_law_names_is_an_effect_where_it_holds_others(compare, tmp_path, capsys):
    law = '[[forbid]]\nid = "FRA-x"\nsource = "s"\nwhen = { not_to_group = "RHINE" }\n'
    for side, members in (("base", '["KEN", "USA"]'), ("head", '["USA"]')):
        for kind, name, text in (
            ("groups", "rhine.toml", GROUP.format(members)),
            ("overlays", "fra.toml", law),
        ):
            (tmp_path / side / kind).mkdir(parents=True)
            (tmp_path / side / kind / name).write_text(text)
    code, found = compare(TREATY, TREATY)
    assert code == 2
    assert {(row["from"], row["to"], row["widens"]) for row in found} == {("FRA", "KEN", False)}
    assert run(["policy", "diff", "base", "head"]) == 2
    assert (
        "RHINE has different members: KEN lose what labels grant them through that name alone"
        in capsys.readouterr().out
    )
