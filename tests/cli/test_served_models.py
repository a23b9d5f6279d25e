"""Which models are offered under which names, and what is said where the names make no sense."""

from pathlib import Path

import pytest
from tests.backends.stand_in import FarModel

from myna.backends import table
from myna.backends.table import BackendRow
from myna.cli.backends import adapters_by_model, backends_of
from myna.cli.pull import fetch
from myna.cli.served_models import Find, ServedModels, choose_models
from myna.core.backend import LocalModel
from myna.core.errors import ConfigurationError, ModelFileError
from myna.settings import Settings, load_settings


def offer(folder: Path, toml: str, *, engine: str = "fake", find: Find = fetch) -> ServedModels:
    """Of a myna.toml in that folder, which has two model files."""
    for name in ("x.gguf", "y.gguf"):
        (folder / name).write_bytes(b"GGUF")
    (folder / "myna.toml").write_text(toml, encoding="utf-8")
    return choose_models(
        load_settings({"engine": engine}, environ={"MYNA_HOME": str(folder)}, directory=folder), find
    )


def pulled(name: str, settings: Settings) -> LocalModel:
    """What `fetch` finds when the model was pulled before: it downloads nothing."""
    return LocalModel(name, settings.home / "models" / f"{name}.gguf", "myna", 0, 0, "file")


def target(folder: Path, toml: str, name: str) -> tuple[str, str]:
    listing = offer(folder, toml).look()()
    assert listing is not None
    card = listing.cards[name]
    return card.target, card.kind


def test_names_of_openai_s_are_aliases_of_the_default(tmp_path: Path) -> None:
    assert target(tmp_path, "", "gpt-3.5-turbo") == ("fake", "alias")
    assert target(tmp_path, "", "gpt-4o-mini") == ("fake", "alias")
    assert target(tmp_path, "", "gpt-3.5-turbo-instruct") == ("fake", "instruct")
    listing = offer(tmp_path, "").look()()
    assert listing is not None
    assert not any("vision" in name or "audio" in name for name in listing.cards)


def test_an_alias_may_refer_to_another_and_takes_its_kind(tmp_path: Path) -> None:
    toml = (
        '[models]\nx = "x.gguf"\n[aliases]\na = "b"\nb = "x"\nc = "gpt-3.5-turbo-instruct"\n"gpt-4o" = "x"\n'
        'd = ""\n'
    )
    assert target(tmp_path, toml, "a") == ("x", "alias")
    assert target(tmp_path, toml, "c") == ("fake", "instruct")
    assert target(tmp_path, toml, "gpt-4o") == ("x", "alias")
    assert target(tmp_path, toml, "d") == ("fake", "alias")


def test_an_alias_may_have_an_adapter_which_aliases_of_it_have_too(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").write_text("{}")
    (tmp_path / "folder" / "model.safetensors").write_bytes(b"")
    toml = (
        '[models]\nf = "folder"\nx = "x.gguf"\n'
        '[aliases]\nsql = { model = "f", adapter = "lora" }\n"gpt-4o" = "sql"\nplain = "f"\n'
    )
    listing = offer(tmp_path, toml, engine="auto", find=pulled).look()()
    assert listing is not None
    cards = [listing.cards[name] for name in ("sql", "gpt-4o", "plain")]
    assert [(card.target, card.adapter) for card in cards] == [("f", "sql"), ("f", "sql"), ("f", "")]
    settings = load_settings(environ={"MYNA_HOME": str(tmp_path)}, directory=tmp_path)
    assert adapters_by_model(settings) == {"f": {"sql": tmp_path / "lora"}}


@pytest.mark.parametrize(
    ("alias", "message"),
    [
        ('{ model = "x", adapter = "lora" }', "vLLM runs adapters.*'x' is a GGUF file"),
        ('{ model = "b", adapter = "lora" }', "must name a model; 'b' is an alias"),
        ('{ adapter = "lora" }', "adapter = "),
    ],
)
def test_an_adapter_is_of_a_model_that_can_have_it(alias: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=message):
        offer(tmp_path, f'[models]\nx = "x.gguf"\n[aliases]\nb = "x"\na = {alias}')


def test_a_draft_model_is_part_of_its_model_as_long_as_it_is_here(tmp_path: Path) -> None:
    toml = '[models]\nx = { path = "x.gguf", draft = "y" }\ny = "y.gguf"'
    listing = offer(tmp_path, toml).look()()
    assert listing is not None
    x, y = (listing.models[name] for name in "xy")
    assert isinstance(x, LocalModel) and isinstance(y, LocalModel)
    assert (x.draft, y.draft) == (y, None)
    with pytest.raises(ConfigurationError, match=r"draft model 'z' of 'x' .* with: myna pull z"):
        offer(tmp_path, toml.replace('draft = "y"', 'draft = "z"'))


def test_an_alias_may_be_a_pattern_which_comes_before_the_names_known_by_default(tmp_path: Path) -> None:
    toml = '[models]\nx = "x.gguf"\n[aliases]\n"claude-*haiku*" = "x"\n"gpt-4*" = "x"'
    listing = offer(tmp_path, toml).look()()
    assert listing is not None

    def found(name: str) -> str | None:
        card = listing.find(name)
        return None if card is None else card.target

    assert [found(name) for name in ("claude-haiku-4-5", "claude-sonnet-5")] == ["x", "fake"]
    assert [found(name) for name in ("gpt-4o", "gpt-5", "gpt-3.5-turbo")] == ["x", "fake", "fake"]
    assert "claude-*haiku*" not in listing.cards


def test_a_pattern_of_an_upstream_does_not_take_the_default_model_away(tmp_path: Path) -> None:
    url = 'url = "http://127.0.0.1:1/v1"'
    assert offer(tmp_path, f"[upstreams.a]\n{url}").default == "fake"
    named = f'model = "far-1"\n[upstreams.a]\n{url}\nmodels = ["far-1"]'
    assert offer(tmp_path, named).default == "far-1"


def test_an_alias_of_an_upstream_s_model_is_not_one_of_the_default_s(tmp_path: Path) -> None:
    upstream = '[aliases]\na = "gpt-4o"\n[upstreams.a]\nurl = "http://127.0.0.1:1/v1"\nmodels = ["gpt-*"]'
    (alias,) = [card for card in offer(tmp_path, upstream).aliases if card.id == "a"]
    assert alias.target == "gpt-4o"


def test_an_own_model_may_be_the_default(tmp_path: Path) -> None:
    made = offer(tmp_path, 'model = "x"\n[models]\nx = "x.gguf"\ny = "y.gguf"')
    assert made.default == "x"
    assert [file.id for file in made.files] == ["x", "y"]


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('[aliases]\na = "a"', "The alias 'a' refers to itself"),
        ('[aliases]\na = "b"\nb = "c"\nc = "a"', "'a' does not resolve to a model: a → b → c → a"),
        ('[aliases]\na = "b"\nb = "b"', "'a' does not resolve to a model: a → b → b"),
        ('[aliases]\na = "nothing"', "refers to 'nothing', which is not on this machine; pull it"),
        ('[aliases]\nfake = "fake"', "'fake' has the name of a model"),
        ('[models]\nfake = "x.gguf"', "Two models have the id 'fake'"),
        ('[models]\n"" = "x.gguf"', "names of 1 to 256 visible characters"),
        ('[aliases]\n"a\\nb" = "fake"', "visible characters"),
        ('[models]\nx = "x.gguf"\nx = "y.gguf"', "is not valid TOML"),
    ],
)
def test_names_that_make_no_sense_are_refused_in_a_sentence(tmp_path: Path, toml: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        offer(tmp_path, toml)
    assert said in caught.value.message


def test_two_models_with_one_id_are_named_with_their_files(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "pulled.gguf").write_bytes(b"GGUF")
    (tmp_path / "models" / "pulled.json").write_text(
        '{"id": "twin", "file_names": ["pulled.gguf"], "owned_by": "o", "created": 1, "source": "hf"}',
        encoding="ascii",
    )
    with pytest.raises(ConfigurationError, match=r"Two models have the id 'twin': .*x\.gguf and .*pulled"):
        offer(tmp_path, 'model = "twin"\n[models]\ntwin = "x.gguf"', engine="native")


@pytest.mark.parametrize("content", [b"version https://git-lfs.github.com/spec/v1\n", b""])
def test_one_file_that_can_t_be_used_keeps_no_server_from_starting(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "pointer.gguf").write_bytes(content)
    toml = '[models]\nx = "x.gguf"\nbad = "pointer.gguf"\n[aliases]\na = "bad"'
    made = offer(tmp_path, toml)
    assert [file.id for file in made.files] == ["fake", "fake-embedding", "x", "bad"]
    assert made.aliases[0].target == "bad"
    assert "'bad' can't be used until its file is replaced" in caplog.text
    with pytest.raises(ModelFileError, match="is not a GGUF file"):
        offer(tmp_path, f'model = "bad"\n{toml}')


def test_a_backend_s_model_may_be_the_default_and_have_aliases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(table.BACKENDS, "far", BackendRow("tests.backends.stand_in:Elsewhere", ("far",)))
    made = offer(tmp_path, 'model = "far-1"\n[aliases]\na = "far-2"', engine="auto")
    assert (made.default, made.files) == ("far-1", ())
    listing = made.look(lambda: (FarModel("far-1"), FarModel("far-2")))()
    assert listing is not None
    assert (listing.cards["gpt-4o"].target, listing.cards["a"].target) == ("far-1", "far-2")


def test_one_id_twice_in_the_environment_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="each name once"):
        load_settings(environ={"MYNA_MODELS": "a=x.gguf,a=y.gguf"}, directory=tmp_path)


def test_a_model_file_that_is_not_there_is_listed_with_its_reason(tmp_path: Path) -> None:
    made = offer(tmp_path, '[models]\nz = "nowhere.gguf"\nd = "."\nx = "x.gguf"')
    listing = made.look()()
    assert listing is not None
    assert listing.cards["x"].notes.problem == ""
    assert listing.cards["z"].notes.problem == "There is no file 'z'."
    assert "is a folder; specify a .gguf file in it" in listing.cards["d"].notes.problem
    assert str(tmp_path) not in listing.cards["z"].notes.problem + listing.cards["d"].notes.problem
    with pytest.raises(ModelFileError, match=r"There is no file .*nowhere\.gguf"):
        offer(tmp_path, 'model = "z"\n[models]\nz = "nowhere.gguf"')


def test_the_only_embedding_model_has_openais_names(tmp_path: Path) -> None:
    settings = load_settings({"engine": "fake"}, environ={"MYNA_HOME": str(tmp_path)}, directory=tmp_path)
    backends = backends_of(settings)
    listing = choose_models(settings).look(embeds=backends.embeds)()
    assert listing is not None
    assert [name for name, card in listing.cards.items() if card.embeds] == [
        "fake-embedding",
        "text-embedding-3-small",
        "text-embedding-3-large",
        "text-embedding-ada-002",
    ]
    (tmp_path / "x-embed.gguf").write_bytes(b"GGUF")
    toml = '[models]\nx = "x-embed.gguf"\n[aliases]\n"text-embedding-3-small" = "x"\n'
    listing = offer(tmp_path, toml).look(embeds=backends.embeds)()
    assert listing is not None
    assert [name for name, card in listing.cards.items() if card.embeds] == [
        "fake-embedding",
        "x",
        "text-embedding-3-small",
    ]


def test_prompts_are_names_of_their_embedding_model(tmp_path: Path) -> None:
    settings = load_settings({"engine": "fake"}, environ={"MYNA_HOME": str(tmp_path)}, directory=tmp_path)
    toml = (
        '[prompts.fake-embedding]\nquery = "query: "\ndocument = ""\n[prompts.fake]\nquery = "x"\n'
        '[prompts.other]\nquery = "x"\n'
    )
    listing = offer(tmp_path, toml).look(embeds=backends_of(settings).embeds)()
    assert listing is not None
    prompts = {name: card.prefix for name, card in listing.cards.items() if ":" in name}
    assert prompts == {"fake-embedding:query": "query: ", "fake-embedding:document": ""}


def test_an_embedding_model_as_the_default_has_no_names_of_chat_models(tmp_path: Path) -> None:
    (tmp_path / "x-embed.gguf").write_bytes(b"GGUF")
    made = offer(tmp_path, 'model = "x"\n[models]\nx = "x-embed.gguf"\n')
    assert made.default == "x"
    assert made.aliases == ()
    assert made.alias_for("gpt-4o-mini-2024-07-18") is None


def test_a_model_of_another_program_is_served_where_it_is(tmp_path: Path, user: Path) -> None:
    blob = user / ".ollama/models/blobs" / f"sha256-{'ab' * 32}"
    manifest = user / ".ollama/models/manifests/registry.example/library/bird/1b"
    for path in (blob, manifest):
        path.parent.mkdir(parents=True)
    blob.write_bytes(b"GGUF")
    manifest.write_text(
        '{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:%s"}]}'
        % ("ab" * 32)
    )
    made = offer(tmp_path, 'model = "bird:1b"', engine="native")
    assert (made.default, made.files[0].path, made.files[0].source) == ("bird:1b", blob, "file")


def test_a_backend_s_model_is_not_downloaded_because_the_catalog_knows_its_name(tmp_path: Path) -> None:
    toml = 'model = "gpt-oss-20b"\n[upstreams.a]\nurl = "http://127.0.0.1:1/v1"\nmodels = ["gpt-*"]'
    made = offer(tmp_path, toml, engine="native")
    assert (made.default, made.files) == ("gpt-oss-20b", ())


def test_the_guard_model_has_openais_names(tmp_path: Path) -> None:
    names = ["omni-moderation-latest", "omni-moderation-2024-09-26", "text-moderation-latest"]
    own = '[models]\nx = "x.gguf"\n[aliases]\nguard = "x"\n'
    for setting in ("x", "guard"):
        listing = offer(
            tmp_path, f'moderation = "{setting}"\n{own}"text-moderation-stable" = "fake"\n'
        ).look()()
        assert listing is not None
        guards = [name for name, card in listing.cards.items() if card.is_guard]
        assert guards == ["x", "guard", *names]
        assert [listing.cards[name].target for name in names] == ["x"] * 3
        assert listing.cards["text-moderation-stable"].target == "fake"
        assert not any(card.is_guard for card in listing.without("x").cards.values())
    listing = offer(tmp_path, own).look()()
    assert listing is not None and not any(card.is_guard for card in listing.cards.values())
    assert not set(names) & set(listing.cards)


def test_a_guard_model_that_is_not_here_is_named_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"guard model 'z', .* myna pull z"):
        offer(tmp_path, 'moderation = "z"\n')
    upstream = '[upstreams]\nfar = { url = "http://127.0.0.1:9/v1", models = ["far-*"] }\n'
    assert offer(tmp_path, f'moderation = "far-guard"\n{upstream}').guard == "far-guard"


def test_a_guard_model_of_a_backend_has_openais_names_once_it_is_announced(tmp_path: Path) -> None:
    upstream = '[upstreams]\nfar = { url = "http://127.0.0.1:9/v1", models = ["far-guard"] }\n'
    made = offer(tmp_path, f'moderation = "far-guard"\n{upstream}')
    listing = made.look(lambda: (FarModel("far-guard"),))()
    assert listing is not None
    assert listing.cards["omni-moderation-latest"].is_relayed
