"""The emulator's workflow runs, eval runs and experiment runs."""

from typing import Any

import aiohttp
import pytest
from emulator_http import answer

from retab_async.emulator import Emulator, ManualClock

RUNS = "workflows/runs"
EVALS = "workflows/evals/runs"
EXPERIMENTS = "workflows/experiments/runs"
PDF = {"filename": "a.pdf", "url": "data:application/pdf;base64,JVBERg=="}
BODIES: dict[str, dict[str, Any]] = {
    RUNS: {"workflow_id": "wrk_1"},
    EVALS: {"workflow_id": "wrk_1"},
    EXPERIMENTS: {"experiment_id": "exp_1"},
}
DEAD = {"queued": 0.0, "running": 0.0}
every_kind = pytest.mark.parametrize("kind", BODIES)


async def create(session: aiohttp.ClientSession, kind: str, **fields: Any) -> Any:
    status, body = await answer(session, "POST", f"/v1/{kind}", json=BODIES[kind] | fields)
    assert status == 201, body
    return body


async def read(session: aiohttp.ClientSession, kind: str, run_id: str) -> Any:
    status, body = await answer(session, "GET", f"/v1/{kind}/{run_id}")
    assert status == 200, body
    return body


async def cancel(session: aiohttp.ClientSession, kind: str, run_id: str, **command: str) -> tuple[int, Any]:
    return await answer(session, "POST", f"/v1/{kind}/{run_id}/cancel", json=command)


async def listed(session: aiohttp.ClientSession, kind: str, **query: str | int) -> list[str]:
    status, body = await answer(session, "GET", f"/v1/{kind}", params=query)
    assert status == 200, body
    return [run["id"] for run in body["data"]]


class TestRunLifeCycle:
    @pytest.mark.parametrize(("kind", "first"), [(RUNS, "pending"), (EVALS, "queued"), (EXPERIMENTS, "queued")])
    async def test_a_run_is_in_the_background_with_its_status_in_lifecycle(
        self, session: aiohttp.ClientSession, clock: ManualClock, kind: str, first: str
    ) -> None:
        begun = await create(session, kind)
        seen = []
        for _ in range(4):
            seen.append((await read(session, kind, begun["id"]))["lifecycle"])
            clock.advance(1)

        assert [lifecycle["status"] for lifecycle in seen] == [first, "running", "running", "completed"]
        assert "status" not in begun

    @every_kind
    async def test_its_times_follow_its_phases(
        self, session: aiohttp.ClientSession, clock: ManualClock, kind: str
    ) -> None:
        run_id = (await create(session, kind))["id"]
        seen = []
        for _ in range(3):
            timing = (await read(session, kind, run_id))["timing"]
            seen.append([name for name, value in timing.items() if value is not None])
            clock.advance(1.5)

        last = ["created_at", "started_at", "completed_at", *([] if kind == RUNS else ["duration_ms"])]
        assert seen == [["created_at"], ["created_at", "started_at"], last]

    @pytest.mark.parametrize(("kind", "prefix"), [(RUNS, "run_"), (EVALS, "wfevalrun_"), (EXPERIMENTS, "exprun_")])
    async def test_ids_have_the_prefix_of_their_kind(
        self, session: aiohttp.ClientSession, kind: str, prefix: str
    ) -> None:
        assert (await create(session, kind))["id"].startswith(prefix)

    @every_kind
    async def test_a_run_seeded_with_an_error_ends_with_it(
        self, session: aiohttp.ClientSession, emulator: Emulator, kind: str
    ) -> None:
        details = {"message": "timeout", "block_id": "block_x"}
        error = {"message": "block crashed", "stage": "execution", "category": "transient", "details": details}
        (run_id,) = emulator.seed(kind, error=error, **DEAD)  # type: ignore[arg-type]  # times alone
        lifecycle = (await read(session, kind, run_id))["lifecycle"]

        more = {"stage": "execution", "category": "transient", "failing_step_id": None} if kind == RUNS else {}
        assert lifecycle == {"status": "error", "message": "block crashed", "details": details, **more}

    @every_kind
    async def test_a_list_accepts_only_statuses_of_the_kind(self, session: aiohttp.ClientSession, kind: str) -> None:
        statuses = [
            (await answer(session, "GET", f"/v1/{kind}", params={name: "in_progress"}))[0]
            for name in ("status", "exclude_status", "trigger_type", "sort_by")
        ]

        assert statuses == [422] * 4

    @pytest.mark.parametrize("kind", [EVALS, EXPERIMENTS])
    async def test_batches_cannot_be_deleted(
        self, session: aiohttp.ClientSession, emulator: Emulator, kind: str
    ) -> None:
        (run_id,) = emulator.seed(kind)

        assert (await answer(session, "DELETE", f"/v1/{kind}/{run_id}"))[0] == 405

    @every_kind
    async def test_a_page_has_twenty_runs(self, session: aiohttp.ClientSession, emulator: Emulator, kind: str) -> None:
        ids = emulator.seed(kind, 21)

        assert await listed(session, kind) == ids[:0:-1]

    async def test_active_runs_contains_them_until_they_are_terminal(
        self, emulator: Emulator, clock: ManualClock
    ) -> None:
        ids = [emulator.seed(kind)[0] for kind in BODIES]
        (waiting,) = emulator.seed(RUNS, awaiting_review=True)
        active = emulator.active_runs()
        clock.advance(9)

        assert active == [*ids, waiting]
        assert emulator.active_runs() == [waiting]


class TestPollAfter:
    async def test_a_read_of_an_active_run_has_a_retry_after(self) -> None:
        async with (
            Emulator(poll_after=7) as emulator,
            aiohttp.ClientSession(emulator.url, headers={"Api-Key": "any"}) as session,
        ):
            (run_id,) = emulator.seed(RUNS)
            async with session.get(f"/v1/{RUNS}/{run_id}") as response:
                pass

        assert response.headers["Retry-After"] == "7"


class TestWorkflowRuns:
    async def test_a_run_contains_its_request(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        run = await create(
            session, RUNS, documents={"start-1": PDF}, json_inputs={"start-2": [1]}, metadata={"batch": "7"}
        )
        file = run["inputs"]["documents"]["start-1"]

        assert (file["filename"], file["mime_type"]) == ("a.pdf", "application/pdf")
        assert run["inputs"]["json_data"] == {"start-2": [1]}
        assert (run["workflow_id"], run["metadata"], run["trigger"]) == ("wrk_1", {"batch": "7"}, {"type": "api"})
        assert emulator.document_of(run["id"], "start-1").size == 4

    @pytest.mark.parametrize(
        ("version", "prefix"), [("production", "ver_"), ("draft", "draft_"), ("ver_91c0e4", "ver_91c0e4")]
    )
    async def test_a_run_has_a_version_id(self, session: aiohttp.ClientSession, version: str, prefix: str) -> None:
        assert (await create(session, RUNS, version=version))["workflow_version_id"].startswith(prefix)

    @pytest.mark.parametrize(
        ("fields", "loc"),
        [
            ({"workflow_id": None}, ["workflow_id"]),
            ({"documents": {"start-1": {"filename": "a"}}}, ["documents", "start-1", "url"]),
            ({"documents": {"start-1": PDF | {"url": "data:"}}}, ["documents", "start-1", "url"]),
            ({"json_inputs": []}, ["json_inputs"]),
            ({"metadata": {"a": 1}}, ["metadata", "a"]),
        ],
    )
    async def test_an_invalid_field_is_422_and_named(
        self, session: aiohttp.ClientSession, fields: dict[str, Any], loc: list[str]
    ) -> None:
        status, body = await answer(session, "POST", f"/v1/{RUNS}", json=BODIES[RUNS] | fields)

        assert (status, body["detail"][0]["loc"]) == (422, ["body", *loc])

    async def test_a_cancel_wraps_the_run(self, session: aiohttp.ClientSession) -> None:
        run = await create(session, RUNS)
        status, body = await cancel(session, RUNS, run["id"])
        read_again = await read(session, RUNS, run["id"])

        assert status == 200
        assert body == {"run": read_again, "cancellation_status": "cancelled", "redis_available": True}
        assert read_again["lifecycle"] == {"status": "cancelled", "reason": None}

    @pytest.mark.parametrize("again", [False, True])
    async def test_a_cancel_of_a_terminal_run_fails_and_returns_it(
        self, session: aiohttp.ClientSession, clock: ManualClock, again: Any
    ) -> None:
        run = await create(session, RUNS)
        if again:
            await cancel(session, RUNS, run["id"])
        clock.advance(9)
        before = await read(session, RUNS, run["id"])

        assert await cancel(session, RUNS, run["id"]) == (
            200,
            {"run": before, "cancellation_status": "cancellation_failed", "redis_available": True},
        )

    async def test_the_same_command_gets_the_same_response(
        self, session: aiohttp.ClientSession, clock: ManualClock
    ) -> None:
        run = await create(session, RUNS)
        first = await cancel(session, RUNS, run["id"], command_id="cmd_1")
        clock.advance(9)
        again = await cancel(session, RUNS, run["id"], command_id="cmd_1")
        _, other = await cancel(session, RUNS, run["id"], command_id="cmd_2")

        assert first == again
        assert other["cancellation_status"] == "cancellation_failed"

    async def test_a_command_id_belongs_to_one_run(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        answers = [(await cancel(session, RUNS, one, command_id="c"))[1]["run"]["id"] for one in emulator.seed(RUNS, 2)]

        assert len(set(answers)) == 2

    @pytest.mark.parametrize("body", [b"", b'{"command_id": 1}', b"[]"])
    async def test_a_cancel_has_a_json_body(
        self, session: aiohttp.ClientSession, emulator: Emulator, body: bytes
    ) -> None:
        (run_id,) = emulator.seed(RUNS)
        status, _ = await answer(session, "POST", f"/v1/{RUNS}/{run_id}/cancel", data=body)

        assert (status, emulator.active_runs()) == (422, [run_id])

    async def test_a_delayed_cancel_is_requested(
        self, session: aiohttp.ClientSession, emulator: Emulator, clock: ManualClock
    ) -> None:
        (run_id,) = emulator.seed(RUNS, queued=0, cancel_delay=1)
        _, body = await cancel(session, RUNS, run_id)
        clock.advance(1)

        assert (body["cancellation_status"], body["run"]["lifecycle"]["status"]) == (
            "cancellation_requested",
            "running",
        )
        assert (await read(session, RUNS, run_id))["lifecycle"]["status"] == "cancelled"

    async def test_a_run_can_await_review_until_it_is_cancelled(
        self, session: aiohttp.ClientSession, emulator: Emulator, clock: ManualClock
    ) -> None:
        (run_id,) = emulator.seed(RUNS, awaiting_review=True)
        early = (await read(session, RUNS, run_id))["lifecycle"]["status"]
        clock.advance(10**6)
        late = await read(session, RUNS, run_id)
        found = await listed(session, RUNS, status="awaiting_review")
        _, body = await cancel(session, RUNS, run_id)

        assert (early, late["timing"]["completed_at"], found) == ("pending", None, [run_id])
        assert late["lifecycle"] == {"status": "awaiting_review", "waiting_for_block_ids": ["block_review"]}
        assert (body["cancellation_status"], body["run"]["lifecycle"]["status"]) == ("cancelled", "cancelled")

    def test_only_workflow_runs_await_review(self, emulator: Emulator) -> None:
        with pytest.raises(ValueError, match="splits never await review"):
            emulator.seed("splits", awaiting_review=True)
        with pytest.raises(ValueError, match="runs that await review do not fail"):
            emulator.seed(RUNS, awaiting_review=True, error={"message": "no"})

    async def test_a_run_can_be_seeded_with_a_status_that_only_lists_know(
        self, session: aiohttp.ClientSession, emulator: Emulator
    ) -> None:
        words = {"pending": "queued", "error": "failed"}
        (queued,) = emulator.seed(RUNS, status_names=words)
        (failed,) = emulator.seed(RUNS, error={"message": "no"}, status_names=words, **DEAD)  # type: ignore[arg-type]  # times alone

        assert (await read(session, RUNS, failed))["lifecycle"]["status"] == "failed"
        assert (await read(session, RUNS, failed))["lifecycle"]["message"] == "no"
        assert await listed(session, RUNS, status="queued") == [queued]
        assert await listed(session, RUNS, status="failed") == [failed]
        assert await listed(session, RUNS, status="error") == []

    async def test_runs_can_be_filtered(
        self, session: aiohttp.ClientSession, emulator: Emulator, clock: ManualClock
    ) -> None:
        first = (await create(session, RUNS, metadata={"batch": "7"}))["id"]
        clock.advance(1)
        second = (await create(session, RUNS, workflow_id="wrk_2"))["id"]
        await cancel(session, RUNS, second)
        (third,) = emulator.seed(RUNS, queued=0, running=0.5)
        clock.advance(1)
        expected: list[tuple[dict[str, Any], list[str]]] = [
            ({"workflow_id": "wrk_2"}, [second]),
            ({"status": "running"}, [first]),
            ({"exclude_status": "cancelled"}, [third, first]),
            ({"exclude_status": "failed"}, [third, second, first]),
            ({"trigger_type": "api", "search": second[6:]}, [second]),
            ({"trigger_type": "email"}, []),
            ({"metadata": '{"batch": "7"}'}, [first]),
            ({"min_duration_ms": 500}, [third]),
            ({"min_duration_ms": 501}, []),
            ({"max_duration_ms": 500}, [third]),
            ({"max_duration_ms": 499}, []),
            ({"from_date": "2999-01-01T00:00:00Z"}, []),
            ({"to_date": "2999-01-01", "sort_by": "timing.created_at", "order": "asc"}, [first, second, third]),
        ]

        for query, found in expected:
            assert await listed(session, RUNS, **query) == found, query

    async def test_an_invalid_duration_is_422(self, session: aiohttp.ClientSession) -> None:
        assert (await answer(session, "GET", f"/v1/{RUNS}", params={"min_duration_ms": "long"}))[0] == 422

    async def test_a_deleted_run_is_404(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        (run_id,) = emulator.seed(RUNS)
        async with session.delete(f"/v1/{RUNS}/{run_id}") as response:
            pass

        assert response.status == 204
        assert await answer(session, "GET", f"/v1/{RUNS}/{run_id}") == (404, {"detail": "Workflow run not found"})


class TestEvalRuns:
    @pytest.mark.parametrize(
        ("scope", "target", "eval_id", "total"),
        [
            (None, None, None, 2),
            ({"type": "workflow"}, None, None, 2),
            ({"type": "single", "eval_id": "wfnodeeval_1"}, None, "wfnodeeval_1", 1),
            ({"type": "block", "block_id": "block_1"}, {"type": "block", "block_id": "block_1"}, None, 2),
        ],
    )
    async def test_it_has_its_scope(
        self, session: aiohttp.ClientSession, scope: Any, target: Any, eval_id: str | None, total: int
    ) -> None:
        run = await create(session, EVALS, scope=scope)

        assert (run["target"], run["eval_id"], run["total_evals"]) == (target, eval_id, total)

    @pytest.mark.parametrize("scope", ["single", {"type": "all"}, {"type": []}, {"type": "single"}])
    async def test_an_unknown_scope_is_422(self, session: aiohttp.ClientSession, scope: Any) -> None:
        status, body = await answer(session, "POST", f"/v1/{EVALS}", json=BODIES[EVALS] | {"scope": scope})

        assert (status, body["detail"][0]["loc"][:2]) == (422, ["body", "scope"])

    async def test_its_counts_follow_its_phases(
        self, session: aiohttp.ClientSession, emulator: Emulator, clock: ManualClock
    ) -> None:
        (run_id,) = emulator.seed(EVALS)
        before = (await read(session, EVALS, run_id))["counts"]
        clock.advance(3)
        after = (await read(session, EVALS, run_id))["counts"]

        assert (before["lifecycle_counts"]["queued"], before["outcome"]["passed"]) == (2, 0)
        assert (after["lifecycle_counts"]["completed"], after["outcome"]["passed"]) == (2, 2)
        assert sum(after["lifecycle_counts"].values()) == 2

    async def test_a_cancel_returns_the_cancelled_run(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        (run_id,) = emulator.seed(EVALS)
        status, run = await cancel(session, EVALS, run_id)

        assert (status, run["lifecycle"]) == (200, {"status": "cancelled", "reason": None})
        assert run == await read(session, EVALS, run_id)

    @pytest.mark.parametrize("times", [{}, DEAD])
    async def test_a_terminal_run_cannot_be_cancelled(
        self, session: aiohttp.ClientSession, emulator: Emulator, times: dict[str, float]
    ) -> None:
        (run_id,) = emulator.seed(EVALS, **times)  # type: ignore[arg-type]  # times alone
        await cancel(session, EVALS, run_id)
        before = await read(session, EVALS, run_id)

        assert (await cancel(session, EVALS, run_id))[0] == 404
        assert await read(session, EVALS, run_id) == before

    async def test_runs_can_be_filtered_by_scope(self, session: aiohttp.ClientSession) -> None:
        single = (await create(session, EVALS, scope={"type": "single", "eval_id": "e1"}))["id"]
        block = (await create(session, EVALS, scope={"type": "block", "block_id": "b1"}))["id"]

        assert await listed(session, EVALS, eval_id="e1") == [single]
        assert await listed(session, EVALS, target_block_id="b1", workflow_id="wrk_1") == [block]
        assert await listed(session, EVALS, workflow_id="wrk_2") == []
        assert await listed(session, EVALS, sort_by="created_at", status="queued") == [block, single]


class TestExperimentRuns:
    async def test_a_cancel_returns_only_the_lifecycle(
        self, session: aiohttp.ClientSession, emulator: Emulator
    ) -> None:
        (run_id,) = emulator.seed(EXPERIMENTS)
        first = await cancel(session, EXPERIMENTS, run_id)

        assert first == (200, {"id": run_id, "lifecycle": {"status": "cancelled", "reason": None}})
        assert await cancel(session, EXPERIMENTS, run_id) == first

    @pytest.mark.parametrize("error", [None, {"message": "no"}])
    async def test_a_completed_or_failed_run_cannot_be_cancelled(
        self, session: aiohttp.ClientSession, emulator: Emulator, error: Any
    ) -> None:
        (run_id,) = emulator.seed(EXPERIMENTS, queued=0, running=0, error=error)

        assert (await cancel(session, EXPERIMENTS, run_id))[0] == 404

    async def test_its_score_and_counts_follow_its_phases(
        self, session: aiohttp.ClientSession, emulator: Emulator, clock: ManualClock
    ) -> None:
        (run_id,), (failing,) = emulator.seed(EXPERIMENTS), emulator.seed(EXPERIMENTS, error={})
        before = await read(session, EXPERIMENTS, run_id)
        clock.advance(3)
        after, failed = await read(session, EXPERIMENTS, run_id), await read(session, EXPERIMENTS, failing)

        assert (before["score"], before["completed_document_count"]) == (None, 0)
        assert (after["score"], after["completed_document_count"]) == (1.0, after["total_document_count"])
        assert (failed["score"], failed["error_count"]) == (None, failed["document_count"])
        assert failed["lifecycle"]["message"] == "(no message)"
        assert after["n_consensus"] in {3, 5, 7}

    async def test_a_lone_surrogate_in_an_id_is_accepted(self, session: aiohttp.ClientSession) -> None:
        run = await create(session, EXPERIMENTS, experiment_id="\ud800")

        assert run["experiment_id"] == "\ud800"

    async def test_a_run_has_a_workflow_even_if_none_is_named(self, session: aiohttp.ClientSession) -> None:
        named = await create(session, EXPERIMENTS, workflow_id="wrk_1")
        unnamed = await create(session, EXPERIMENTS)

        assert named["workflow_id"] == "wrk_1"
        assert unnamed["workflow_id"].startswith("wrk_")
        assert await listed(session, EXPERIMENTS, workflow_id="wrk_1", block_id=named["block_id"]) == [named["id"]]
        assert await listed(session, EXPERIMENTS, experiment_id="exp_1") == [unnamed["id"], named["id"]]
