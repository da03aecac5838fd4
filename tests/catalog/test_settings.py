from pathlib import Path
from urllib.parse import quote

import pytest

from catalog.errors import SettingsError
from catalog.settings import (
    SHIPPED_BUNDLE,
    Settings,
    environment,
    read_settings,
    settings,
    variable,
)


def test_defaults_need_no_service_and_no_download() -> None:
    chosen = read_settings(home=Path("/srv/tagger"))
    assert chosen.redis_url is None
    assert chosen.database == "sqlite:////srv/tagger/catalog.db"
    assert chosen.bundle == SHIPPED_BUNDLE


@pytest.mark.parametrize("prefix", ["postgres://", "postgresql://", "postgresql+psycopg://"])
def test_every_spelling_of_a_postgresql_url_gets_the_installed_driver(prefix: str) -> None:
    chosen = read_settings(database_url=f"{prefix}tagger@db/catalog")
    assert chosen.database == "postgresql+psycopg://tagger@db/catalog"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TAGGER_BATCH_SIZE", "many"),
        ("TAGGER_BATCH_SIZE", "0"),
        ("TAGGER_AUDIT_SHARE", "1.5"),
        ("TAGGER_FLUSH_INTERVAL_S", "-1"),
        ("TAGGER_ALLOWED_NETWORKS", "10.0.0.0/8, 10.1.2.3/16"),
        ("TAGGER_OBJECT_STORES", "https://bucket.test/"),
        ("TAGGER_ALLOWED_PORTS", "http"),
        ("TAGGER_ALLOWED_PORTS", "80,0"),
        ("TAGGER_ALLOWED_PORTS", "65536"),
        ("TAGGER_ALLOWED_PORTS", "90-80"),
        ("TAGGER_ALLOWED_PORTS", "1-2-3"),
        ("TAGGER_ALLOWED_PORTS", "80-"),
    ],
)
def test_unusable_value_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as error:
        settings()
    assert repr(value) in str(error.value)


PASSWORDS = ("S3CRET#S3CRET", "S3CRET/S3CRET", "S3CRET@S3CRET", "S3CRET?S3CRET", "S3:CR@ET",
             "12#S3CRET", "12/S3CRET", "12?S3CRET")  # fmt: skip


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("REDIS_URL", "redis://:{}@broker:6379/0"),
        ("REDIS_URL", "rediss://me:{}@broker:6379/0"),
        ("DATABASE_URL", "postgresql://me:{}@db:5432/catalog"),
        ("DATABASE_URL", "postgresql+psycopg://me:{}@db/catalog?sslmode=require"),
    ],
)
def test_a_password_that_is_not_encoded_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str, password: str
) -> None:
    monkeypatch.setenv(name, url.format(password))
    with pytest.raises(SettingsError, match=rf"^{name}: expected an address .*%23") as error:
        settings()
    assert not any(piece in str(error.value) for piece in ("S3", "CR", "12", "ET@"))
    monkeypatch.setenv(name, url.format(quote(password, safe="")))
    settings.cache_clear()
    assert "S3" not in repr(settings())


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("REDIS_URL", "redis://broker"),
        ("REDIS_URL", "rediss://me:pa%23ss@[2001:db8::1]:6380/2?ssl_cert_reqs=required"),
        ("REDIS_URL", "unix:///srv/queue/socket?db=1"),
        ("DATABASE_URL", "sqlite:////srv/who@work/a#b.db"),
        ("DATABASE_URL", "postgresql://me@/catalog?host=/run/postgresql"),
        ("DATABASE_URL", "postgresql:///catalog?host=/run/postgresql&user=me@cloud"),
    ],
)
def test_honest_addresses_are_taken_as_they_are(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str
) -> None:
    monkeypatch.setenv(name, url)
    assert getattr(settings(), name.lower()) == url


@pytest.mark.parametrize("url", ["broker:6379", "amqp://me:S3CRET@broker", "S3CRET", "redis:/S3"])
def test_what_is_no_broker_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    with pytest.raises(SettingsError, match=r"^REDIS_URL: expected an address") as error:
        settings()
    assert "S3" not in str(error.value)
    assert "broker:" not in str(error.value)


def test_another_process_reads_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = read_settings(
        home=Path("/srv/tagger"),
        redis_url="redis://broker",
        database_url="postgresql://db/catalog",
        allowed_roots=(Path("/photos"), Path("/more photos")),
        allowed_networks=("10.0.0.0/8", "fd00::/8"),
        object_stores=("s3://shop/photos/", "gs://shop/"),
        allowed_ports=("443", "8000-8100"),
        redirects_to_http=True,
        batch_size=7,
    )
    for name, value in environment(chosen).items():
        monkeypatch.setenv(name, value)
    assert settings() == chosen


def test_settings_are_read_from_an_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TAGGER_BATCH_SIZE=7\nREDIS_URL=redis://broker\nOTHER=1\n")
    chosen = read_settings()
    assert (chosen.batch_size, chosen.redis_url) == (7, "redis://broker")


def test_example_file_and_readme_name_every_setting() -> None:
    project = Path(__file__).parents[2]
    for name, field in Settings.model_fields.items():
        assert field.description
        assert f"`{variable(name)}`" in (project / "README.md").read_text()
        assert f"{variable(name)}=" in (project / ".env.example").read_text()
