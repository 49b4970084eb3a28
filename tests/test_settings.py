from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from payloads import KEY

from retab_async import AsyncRetab, ConfigurationError, RetryPolicy, __version__
from retab_async.settings import Credential, Settings


def resolve(**options: Any) -> Settings:
    usual: dict[str, Any] = {"bearer_token": None, "base_url": None, "proxy": None, "timeout": 1.0, "user_agent": None}
    if "bearer_token" not in options:
        usual["api_key"] = KEY
    return Settings.resolve(**{"api_key": None} | usual | options)


# The credential


def test_api_key_becomes_the_api_key_header() -> None:
    assert resolve().credential == Credential("Api-Key", KEY, KEY)


def test_api_key_defaults_to_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETAB_API_KEY", "from-the-environment")

    assert resolve(api_key=None).credential.value == "from-the-environment"


def test_api_key_argument_overrides_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETAB_API_KEY", "from-the-environment")

    assert resolve().credential.value == KEY


def test_bearer_token_becomes_authorization_and_overrides_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RETAB_API_KEY", "from-the-environment")

    assert resolve(bearer_token=KEY).credential == Credential("Authorization", f"Bearer {KEY}", KEY)


def test_missing_key_error_names_both_ways_to_set_one() -> None:
    with pytest.raises(ConfigurationError, match=r'set RETAB_API_KEY, or pass AsyncRetab\(api_key="\.\.\."\)'):
        resolve(api_key=None)


def test_key_and_token_together_are_rejected() -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        resolve(api_key=KEY, bearer_token=KEY)


@pytest.mark.parametrize("name", ["api_key", "bearer_token"])
@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ("", "is empty"),
        (5, "is empty"),
        (" " + KEY, "blanks"),
        (KEY + "\n", "line breaks"),
        (KEY + "\r\nX-Injected: 1", "line breaks"),
        ("sk live", "blanks"),
        ("clé-secrète", "non-ASCII"),
        (KEY + "\x00", "blanks"),
    ],
)
def test_secret_that_cannot_be_a_header_is_rejected_without_quoting_it(name: str, secret: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} .*{problem}") as caught:
        resolve(**{name: secret})

    assert "sk_live" not in repr(caught.value)


@pytest.mark.parametrize("secret", ["", KEY + "\n"], ids=["empty", "line break"])
def test_invalid_key_in_the_environment_names_its_variable(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("RETAB_API_KEY", secret)
    with pytest.raises(ConfigurationError, match="RETAB_API_KEY"):
        resolve(api_key=None)


def test_repr_hides_the_secret() -> None:
    for settings in (resolve(), resolve(bearer_token=KEY)):
        assert "sk_live" not in repr(settings)
        assert "sk_live" not in repr(settings.credential)


def test_repr_hides_the_password_of_the_proxy() -> None:
    assert "word" not in repr(resolve(proxy="http://user:word@proxy.test:3128"))


@pytest.mark.parametrize("host", ["a..b", ".com", "x" * 64 + ".com", "host\\x", "a b", "[::1", "a,b", "..", "b%41.com"])
def test_malformed_host_is_rejected(host: str) -> None:
    with pytest.raises(ConfigurationError, match="base_url must be a URL"):
        resolve(base_url=f"https://{host}/v1")


@pytest.mark.parametrize("host", ["eu.test", "eu.test.", "10.0.0.1", "[2001:db8::1]", "api_1.eu-west.test:8443"])
def test_valid_host_is_accepted(host: str) -> None:
    assert resolve(base_url=f"https://{host}/v1").base_url == f"https://{host}"


def test_user_agent_must_be_a_string() -> None:
    with pytest.raises(ConfigurationError, match="user_agent"):
        resolve(user_agent=5)


def test_very_short_key_is_not_redacted() -> None:
    assert Credential("Api-Key", "key", "key").redact("the monkey's keys") == "the monkey's keys"


@given(st.text(), st.text())
def test_redacted_text_does_not_contain_the_secret(before: str, after: str) -> None:
    assert KEY not in resolve().credential.redact(f"{before}{KEY}{after}{KEY}")


# The address


@pytest.mark.parametrize(
    ("value", "address"),
    [
        (None, "https://api.retab.com"),
        ("https://api.retab.com", "https://api.retab.com"),
        ("https://api.retab.com/", "https://api.retab.com"),
        ("https://api.retab.com/v1", "https://api.retab.com"),
        ("https://api.retab.com/v1/", "https://api.retab.com"),
        ("https://api.retab.com//", "https://api.retab.com"),
        ("https://gateway.test/retab", "https://gateway.test/retab"),
        ("https://gateway.test/retab/v1/", "https://gateway.test/retab"),
        ("https://gateway.test:8443/v1", "https://gateway.test:8443"),
        ("HTTPS://gateway.test", "https://gateway.test"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000"),
        ("http://127.8.9.10", "http://127.8.9.10"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://api.retab.com/v12x", "https://api.retab.com/v12x"),
    ],
)
def test_base_url_is_normalised(value: str | None, address: str) -> None:
    assert resolve(base_url=value).base_url == address


@pytest.mark.parametrize(
    ("value", "address"), [("https://eu.test/v1", "https://eu.test"), ("", "https://api.retab.com")]
)
def test_base_url_defaults_to_the_environment(monkeypatch: pytest.MonkeyPatch, value: str, address: str) -> None:
    monkeypatch.setenv("RETAB_API_BASE_URL", value)

    assert resolve().base_url == address


def test_invalid_base_url_in_the_environment_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETAB_API_BASE_URL", "http://api.retab.com")
    with pytest.raises(ConfigurationError, match="RETAB_API_BASE_URL must use https"):
        resolve()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("http://api.retab.com", "must use https"),
        ("http://10.0.0.5:8000", "must use https"),
        ("http://localhost.evil.test", "must use https"),
        ("http://127.0.0.1.evil.test", "must use https"),
        ("https://user:word@api.retab.com", "must not contain credentials"),
        ("https://user@api.retab.com", "must not contain credentials"),
        ("https://:word@api.retab.com", "must not contain credentials"),
        ("https://user:word@api.retab.com:port", "must be a URL such as"),
        ("https://user:word@[::1", "must be a URL such as"),
        ("https://api.retab.com/?a=b", r"remove \? and #"),
        ("https://api.retab.com/#a", r"remove \? and #"),
        ("", "must be a URL such as"),
        ("api.retab.com", "must be a URL such as"),
        ("ftp://api.retab.com", "must be a URL such as"),
        ("https://", "must be a URL such as"),
        ("https://api.retab.com:port", "must be a URL such as"),
        ("https://api.retab.com:99999", "must be a URL such as"),
        ("https://[::1", "must be a URL such as"),
        ("https://api.retab.com/ v1", "must be a URL such as"),
        ("https://api.retab.com\r\n", "must be a URL such as"),
        ("https://api.rétab.com", "must be a URL such as"),
        (5, "must be a URL such as"),
        (b"https://api.retab.com", "must be a URL such as"),
    ],
)
def test_invalid_base_url_is_rejected(value: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        resolve(base_url=value)

    assert "word" not in str(caught.value)


# The proxy


def test_proxy_defaults_to_none() -> None:
    assert resolve().proxy is None


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy"])
def test_proxy_defaults_to_the_environment(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "http://proxy.test:3128")

    assert resolve().proxy == "http://proxy.test:3128"


def test_proxy_argument_overrides_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.test:3128")

    assert resolve(proxy="http://other.test:3128").proxy == "http://other.test:3128"


def test_proxy_false_ignores_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.test:3128")

    assert resolve(proxy=False).proxy is None


def test_environment_proxy_without_a_scheme_is_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "proxy.test:3128")

    assert resolve().proxy == "http://proxy.test:3128"


def test_invalid_environment_proxy_error_names_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://proxy.test:1080")
    with pytest.raises(ConfigurationError, match=r"the proxy in the environment \(all_proxy\) must be an http"):
        resolve()


def test_no_proxy_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.test:3128")
    monkeypatch.setenv("no_proxy", "retab.com")

    assert resolve().proxy is None


@pytest.mark.parametrize("address", ["http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000"])
def test_loopback_bypasses_the_environment_proxy(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.test:3128")
    monkeypatch.setenv("all_proxy", "http://proxy.test:3128")

    assert resolve(base_url=address).proxy is None


@pytest.mark.parametrize(
    "value",
    ["socks5://proxy.test:1080", "proxy.test:3128", "", "http://", "http://[::1", "http://p.test:port", 5, True],
)
def test_invalid_proxy_is_rejected(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="proxy must be an http:// or https:// URL"):
        resolve(proxy=value)


def test_invalid_environment_proxy_error_says_how_to_disable_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks5://proxy.test:1080")
    with pytest.raises(ConfigurationError, match="proxy=False uses none"):
        resolve()


# Numbers and words


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "15", None, True])
def test_invalid_timeout_is_rejected(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="timeout must be a finite number of seconds above 0"):
        resolve(timeout=value)


@pytest.mark.parametrize("value", [0, -1, 1.5, "100", None, True])
def test_invalid_max_connections_is_rejected(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_connections must be an integer of at least 1"):
        AsyncRetab(KEY, max_connections=value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("attempts", 0), ("attempts", 1.5), ("wait_initial", 0), ("wait_max", float("nan")), ("deadline", float("inf"))],
)
def test_invalid_retry_policy_is_rejected(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        RetryPolicy(**{name: value})


def test_default_retry_policy() -> None:
    assert RetryPolicy() == RetryPolicy(attempts=4, wait_initial=0.25, wait_max=8.0, deadline=60.0)


def test_user_agent_is_appended_to_the_library_name() -> None:
    assert resolve().user_agent == f"retab-async/{__version__}"
    assert resolve(user_agent="billing/2.1 (nightly)").user_agent == f"retab-async/{__version__} billing/2.1 (nightly)"


@pytest.mark.parametrize("value", ["", "a\r\nX-Injected: 1", "é"])
def test_user_agent_that_cannot_be_a_header_is_rejected(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="user_agent must be printable ASCII"):
        resolve(user_agent=value)


# Copies


def test_replace_changes_only_the_given_settings() -> None:
    old = resolve(base_url="https://eu.test", proxy="http://proxy.test:3128", user_agent="billing")
    new = old.replace(api_key=None, bearer_token="another-token", timeout=3, user_agent=None)

    assert new.credential.secret == "another-token"
    assert (new.base_url, new.proxy, new.user_agent) == (old.base_url, old.proxy, old.user_agent)
    assert (old.timeout, new.timeout) == (1.0, 3)


def test_replace_without_changes_is_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    old = resolve()
    monkeypatch.setenv("RETAB_API_KEY", "from-the-environment")

    assert old.replace(api_key=None, bearer_token=None, timeout=None, user_agent=None) == old


@pytest.mark.parametrize(
    "value", [{"api_key": ""}, {"bearer_token": "a b"}, {"timeout": 0}, {"user_agent": ""}], ids=repr
)
def test_replace_validates_like_resolve(value: dict[str, Any]) -> None:
    nothing: dict[str, Any] = {"api_key": None, "bearer_token": None, "timeout": None, "user_agent": None}
    with pytest.raises(ConfigurationError):
        resolve().replace(**nothing | value)


class RetryClient:
    """Stand-in for the class of aiohttp_retry, which is not a dependency."""

    __module__ = "aiohttp_retry.client"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"retry": 0}, r"retry must be a RetryPolicy, such as RetryPolicy\(attempts=1\)"),
        ({"retry": None}, "retry must be a RetryPolicy"),
        ({"retry": 3}, "retry must be a RetryPolicy"),
        ({"retry": True}, "retry must be a RetryPolicy"),
        ({"retry": {"attempts": 3}}, "retry must be a RetryPolicy"),
        ({"trace_configs": None}, r"trace_configs must be a list of aiohttp.TraceConfig, or \(\) for none"),
        ({"trace_configs": [object()]}, "trace_configs must be a list of aiohttp.TraceConfig"),
        ({"trace_configs": aiohttp.TraceConfig()}, "trace_configs must be a list"),
        ({"session": object()}, "session must be an open aiohttp.ClientSession"),
        ({"session": aiohttp.ClientSession}, "session must be an open aiohttp.ClientSession"),
        ({"session": "https://x.test"}, "session must be an open aiohttp.ClientSession"),
        ({"session": RetryClient()}, "not a RetryClient: for retries, pass retry=RetryPolicy"),
        ({"ssl": "/etc/ca.pem"}, r"ssl must be an SSLContext, or False.*ssl.create_default_context\(cafile=PATH\)"),
        ({"ssl": None}, "ssl must be an SSLContext, or False"),
        ({"allow_http": 1}, "allow_http must be True or False"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_wrong_type_of_a_setting_is_rejected_at_once(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        AsyncRetab("sk_live_1", **options)


@pytest.mark.parametrize("retry", [0, 3, False, "4"])
async def test_with_options_rejects_a_retry_that_is_no_policy(retry: Any) -> None:
    async with AsyncRetab("sk_live_1") as client:
        with pytest.raises(ConfigurationError, match="retry must be a RetryPolicy"):
            client.with_options(retry=retry)


@pytest.mark.parametrize("url", ["http://emulator:8080", "http://10.0.0.7", "http://api.test/v1"])
def test_http_beyond_loopback_is_rejected_unless_allowed(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(ConfigurationError, match="allow_http=True or set RETAB_API_ALLOW_HTTP=1"):
        resolve(base_url=url)

    assert resolve(base_url=url, allow_http=True).base_url == url.removesuffix("/v1")
    monkeypatch.setenv("RETAB_API_ALLOW_HTTP", "1")
    assert resolve(base_url=url).base_url == url.removesuffix("/v1")
    monkeypatch.setenv("RETAB_API_ALLOW_HTTP", "0")
    with pytest.raises(ConfigurationError, match="must use https"):
        resolve(base_url=url)


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_socks_proxy_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "socks5h://user:word@proxy.test:1080")
    with pytest.raises(ConfigurationError, match=rf"\({name}\) must be .* not a SOCKS proxy; proxy=False") as caught:
        resolve()

    assert "word" not in str(caught.value)


def test_socks_proxy_argument_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"proxy must be .* not a SOCKS proxy"):
        resolve(proxy="socks5://proxy.test:1080")
