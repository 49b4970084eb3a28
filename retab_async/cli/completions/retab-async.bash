# Completion of retab-async for bash; written by tests/completion_scripts.py.
_retab_async() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
    local at="" options="" commands="" files="" current_is_value="" i
    COMPREPLY=()
    # bash splits --name=value into three words.
    [[ $previous == "=" ]] && previous=${COMP_WORDS[COMP_CWORD-2]}
    [[ $current == "=" ]] && current=""
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "${COMP_WORDS[i-1]}" in --env) continue ;; esac
        case "$at ${COMP_WORDS[i]}" in
            ' auth' | ' auth status' | ' cancel' | ' cancel-matching' | ' classifications' | ' classifications cancel' | ' classifications cancel-matching' | ' classifications create' | ' classifications delete' | ' classifications get' | ' classifications list' | ' classifications process' | ' classifications wait' | ' completion' | ' demo' | ' edits' | ' edits cancel' | ' edits cancel-matching' | ' edits create' | ' edits delete' | ' edits get' | ' edits list' | ' edits process' | ' edits wait' | ' extractions' | ' extractions cancel' | ' extractions cancel-matching' | ' extractions create' | ' extractions delete' | ' extractions get' | ' extractions list' | ' extractions process' | ' extractions wait' | ' files' | ' files blueprints' | ' files blueprints cancel' | ' files blueprints create' | ' files blueprints get' | ' files blueprints wait' | ' files download' | ' files get' | ' files list' | ' files upload' | ' parses' | ' parses cancel' | ' parses cancel-matching' | ' parses create' | ' parses delete' | ' parses get' | ' parses list' | ' parses process' | ' parses wait' | ' partitions' | ' partitions cancel' | ' partitions cancel-matching' | ' partitions create' | ' partitions delete' | ' partitions get' | ' partitions list' | ' partitions process' | ' partitions wait' | ' schemas' | ' schemas cancel' | ' schemas create' | ' schemas get' | ' schemas wait' | ' serve' | ' splits' | ' splits cancel' | ' splits cancel-matching' | ' splits create' | ' splits delete' | ' splits get' | ' splits list' | ' splits process' | ' splits wait' | ' workflows' | ' workflows evals' | ' workflows evals runs' | ' workflows evals runs cancel' | ' workflows evals runs cancel-matching' | ' workflows evals runs create' | ' workflows evals runs get' | ' workflows evals runs list' | ' workflows evals runs wait' | ' workflows experiments' | ' workflows experiments runs' | ' workflows experiments runs cancel' | ' workflows experiments runs cancel-matching' | ' workflows experiments runs create' | ' workflows experiments runs get' | ' workflows experiments runs list' | ' workflows experiments runs wait' | ' workflows runs' | ' workflows runs cancel' | ' workflows runs cancel-matching' | ' workflows runs create' | ' workflows runs delete' | ' workflows runs get' | ' workflows runs list' | ' workflows runs wait') at+=" ${COMP_WORDS[i]}" ;;
        esac
    done
    case "$at" in
        "") options="--version --verbose -v --env --help -h"; commands="auth cancel cancel-matching classifications completion demo edits extractions files parses partitions schemas serve splits workflows" ;;
        ' auth') options="--help -h"; commands="status" ;;
        ' auth status') options="--json --help -h" ;;
        ' cancel') options="--from-file --column --dedupe --kind --concurrency --rate-limit --shared --journal --wait --wait-timeout --outage-timeout --failed --quiet -q --json --help -h" ;;
        ' cancel-matching') options="--from-date --to-date --dry-run --yes --concurrency --rate-limit --shared --journal --wait --wait-timeout --outage-timeout --failed --quiet -q --json --help -h" ;;
        ' classifications') options="--help -h"; commands="cancel cancel-matching create delete get list process wait" ;;
        ' classifications cancel') options="--from-file --column --dedupe --concurrency --rate-limit --shared --journal --wait --wait-timeout --outage-timeout --failed --quiet -q --json --help -h" ;;
        ' classifications cancel-matching') options="--status --filename --from-date --to-date --dry-run --yes --concurrency --rate-limit --shared --journal --wait --wait-timeout --outage-timeout --failed --quiet -q --json --help -h" ;;
        ' classifications create') options="--filename --category --first-n-pages --instructions --model --n-consensus --bust-cache --background --wait --timeout --extra-body --idempotency-key --result-only --output --quiet -q --json --help -h"; files=1 ;;
        ' classifications delete') options="--yes --rate-limit --shared --quiet -q --json --help -h" ;;
        ' classifications get') options="--no-output --result-only --output --json --help -h" ;;
        ' classifications list') options="--status --filename --from-date --to-date --order --limit --all --ids --quiet -q --json --help -h" ;;
        ' classifications process') options="--from-file --out --journal --concurrency --wait-timeout --outage-timeout --quiet -q --category --first-n-pages --instructions --model --n-consensus --bust-cache --help -h"; files=1 ;;
        ' classifications wait') options="--timeout --rate-limit --shared --quiet -q --json --help -h" ;;
        ' completion') options="--help -h"; commands="bash fish zsh" ;;
        ' demo') options="--runs --concurrency --json --help -h" ;;
        ' edits') options="--help -h"; commands="cancel cancel-matching create delete get list process wait" ;;
        ' edits cancel') options="--from-file --column --dedupe --concurrency --rate-limit --shared --journal --wait --wait-timeout --outage-timeout --failed --quiet -q --json --help -h" ;;
        ' edits cancel-matching') options="--template-id --status --filename --from-date --to-date --dry-run --yes --concurrency --rate-limit --shared --journal --wait --wait-timeout --outage-timeout --failed --quiet -q --json --help -h" ;;
        ' edits create') options="--filename --template-id --instructions --color --model --bust-cache --background --wait --timeout --extra-body --idempotency-key --result-only --output --quiet -q --json --help -h"; files=1 ;;
        ' edits delete') options="--yes --rate-limit --shared --quiet -q --json --help -h" ;;
        ' edits get') options="--no-output --result-only --output --json --help -h" ;;
        ' edits list') options="--template-id --status --filename --from-date --to-date --order --limit --all --ids --quiet -q --json --help -h" ;;
        ' edits process') options="--from-file --out --journal --concurrency --wait-timeout --outage-timeout --quiet -q --instructions --color --model --bust-cache --help -h"; files=1 ;;
        ' edits wait') options="--timeout --rate-limit --shared --quiet -q --json --help -h" ;;
        ' extractions') options="--help -h"; commands="cancel cancel-matching create delete get list process wait" ;;
        ' extractions cancel') options="--from-file --column --dedupe --concurrency --rate-limit --shared --journal --wait --wait-timeout --outage-timeout --failed --quiet -q --json --help -h" ;;
        ' extractions cancel-matching') options="--status --filename --filename-contains --document-type --metadata --from-date --to-date --dry-run --yes --concurrency --rate-limit --shared --journal --wait --wait-timeout --outage-timeout --failed --quiet -q --json --help -h" ;;
        ' extractions create') options="--filename --schema --metadata --additional-message --sources --instructions --model --n-consensus --bust-cache --background --wait --timeout --extra-body --idempotency-key --result-only --output --quiet -q --json --help -h"; files=1 ;;
        ' extractions delete') options="--yes --rate-limit --shared --quiet -q --json --help -h" ;;
        ' extractions get') options="--no-output --result-only --output --json --help -h" ;;
        ' extractions list') options="--status --filename --filename-contains --document-type --metadata --from-date --to-date --order --limit --all --ids --quiet -q --json --help -h" ;;
        ' extractions process') options="--from-file --out --journal --concurrency --wait-timeout --outage-timeout --quiet -q --schema --metadata --additional-message --sources --instructions --model --n-consensus --bust-cache --help -h"; files=1 ;;
        ' extractions wait') options="--timeout --rate-limit --shared --quiet -q --json --help -h" ;;
        ' files') options="--help -h"; commands="blueprints download get list upload" ;;
        ' files blueprints') options="--help -h"; commands="cancel create get wait" ;;
        ' files blueprints cancel') options="--from-file --column --dedupe --concurrency --rate-limit --shared --journal --wait --wait-timeout --outage-timeout --failed --quiet -q --json --help -h" ;;
        ' files blueprints create') options="--intent --background --wait --timeout --extra-body --idempotency-key --result-only --output --quiet -q --json --help -h" ;;
        ' files blueprints get') options="--no-output --result-only --output --json --help -h" ;;
        ' files blueprints wait') options="--timeout --rate-limit --shared --quiet -q --json --help -h" ;;
        ' files download') options="--output --help -h" ;;
        ' files get') options="--json --help -h" ;;
        ' files list') options="--filename --mime-type --from-date --to-date --order --limit --all --ids --quiet -q --json --help -h" ;;
        ' files upload') options="--filename --quiet -q --json --help -h"; files=1 ;;
        ' parses') options="--help -h"; commands="cancel cancel-matching create delete get list process wait" ;;
        ' parses cancel') options="--from-file --column --dedupe --concurrency --rate-limit --shared --journal --wait --wait-timeout --outage-timeout --failed --quiet -q --json --help -h" ;;
        ' parses cancel-matching') options="--filename --from-date --to-date --dry-run --yes --concurrency --rate-limit --shared --journal --wait --wait-timeout --outage-timeout --failed --quiet -q --json --help -h" ;;
        ' parses create') options="--filename --table-parsing-format --instructions --model --bust-cache --background --wait --timeout --extra-body --idempotency-key --result-only --output --quiet -q --json --help -h"; files=1 ;;
        ' parses delete') options="--yes --rate-limit --shared --quiet -q --json --help -h" ;;
        ' parses get') options="--no-output --result-only --output --json --help -h" ;;
        ' parses list') options="--filename --from-date --to-date --order --limit --all --ids --quiet -q --json --help -h" ;;
        ' parses process') options="--from-file --out --journal --concurrency --wait-timeout --outage-timeout --quiet -q --table-parsing-format --instructions --model --bust-cache --help -h"; files=1 ;;
        ' parses wait') options="--timeout --rate-limit --shared --quiet -q --json --help -h" ;;
        ' partitions') options="--help -h"; commands="cancel cancel-matching create delete get list process wait" ;;
        ' partitions cancel') options="--from-file --column --dedupe --concurrency --rate-limit --shared --journal --wait --wait-timeout --outage-timeout --failed --quiet -q --json --help -h" ;;
        ' partitions cancel-matching') options="--status --filename --from-date --to-date --dry-run --yes --concurrency --rate-limit --shared --journal --wait --wait-timeout --outage-timeout --failed --quiet -q --json --help -h" ;;
        ' partitions create') options="--filename --key --instructions --allow-overlap --no-allow-overlap --model --n-consensus --bust-cache --background --wait --timeout --extra-body --idempotency-key --result-only --output --quiet -q --json --help -h"; files=1 ;;
        ' partitions delete') options="--yes --rate-limit --shared --quiet -q --json --help -h" ;;
        ' partitions get') options="--no-output --result-only --output --json --help -h" ;;
        ' partitions list') options="--status --filename --from-date --to-date --order --limit --all --ids --quiet -q --json --help -h" ;;
        ' partitions process') options="--from-file --out --journal --concurrency --wait-timeout --outage-timeout --quiet -q --key --instructions --allow-overlap --no-allow-overlap --model --n-consensus --bust-cache --help -h"; files=1 ;;
        ' partitions wait') options="--timeout --rate-limit --shared --quiet -q --json --help -h" ;;
        ' schemas') options="--help -h"; commands="cancel create get wait" ;;
        ' schemas cancel') options="--from-file --column --dedupe --concurrency --rate-limit --shared --journal --wait --wait-timeout --outage-timeout --failed --quiet -q --json --help -h" ;;
        ' schemas create') options="--instructions --model --background --wait --timeout --extra-body --idempotency-key --result-only --output --quiet -q --json --help -h"; files=1 ;;
        ' schemas get') options="--result-only --output --json --help -h" ;;
        ' schemas wait') options="--timeout --rate-limit --shared --quiet -q --json --help -h" ;;
        ' serve') options="--host --port --api-key --queued --running --latency --rate-limit --no-retry-after --retry-after --seed --ids-file --help -h" ;;
        ' splits') options="--help -h"; commands="cancel cancel-matching create delete get list process wait" ;;
        ' splits cancel') options="--from-file --column --dedupe --concurrency --rate-limit --shared --journal --wait --wait-timeout --outage-timeout --failed --quiet -q --json --help -h" ;;
        ' splits cancel-matching') options="--status --filename --from-date --to-date --dry-run --yes --concurrency --rate-limit --shared --journal --wait --wait-timeout --outage-timeout --failed --quiet -q --json --help -h" ;;
        ' splits create') options="--filename --subdocument --instructions --model --n-consensus --bust-cache --background --wait --timeout --extra-body --idempotency-key --result-only --output --quiet -q --json --help -h"; files=1 ;;
        ' splits delete') options="--yes --rate-limit --shared --quiet -q --json --help -h" ;;
        ' splits get') options="--no-output --result-only --output --json --help -h" ;;
        ' splits list') options="--status --filename --from-date --to-date --order --limit --all --ids --quiet -q --json --help -h" ;;
        ' splits process') options="--from-file --out --journal --concurrency --wait-timeout --outage-timeout --quiet -q --subdocument --instructions --model --n-consensus --bust-cache --help -h"; files=1 ;;
        ' splits wait') options="--timeout --rate-limit --shared --quiet -q --json --help -h" ;;
        ' workflows') options="--help -h"; commands="evals experiments runs" ;;
        ' workflows evals') options="--help -h"; commands="runs" ;;
        ' workflows evals runs') options="--help -h"; commands="cancel cancel-matching create get list wait" ;;
        ' workflows evals runs cancel') options="--from-file --column --dedupe --concurrency --rate-limit --shared --journal --wait --wait-timeout --outage-timeout --failed --quiet -q --json --help -h" ;;
        ' workflows evals runs cancel-matching') options="--workflow-id --eval-id --target-block-id --status --exclude-status --trigger-type --from-date --to-date --dry-run --yes --concurrency --rate-limit --shared --journal --wait --wait-timeout --outage-timeout --failed --quiet -q --json --help -h" ;;
        ' workflows evals runs create') options="--eval-id --block-id --wait --timeout --extra-body --idempotency-key --output --quiet -q --json --help -h" ;;
        ' workflows evals runs get') options="--output --json --help -h" ;;
        ' workflows evals runs list') options="--workflow-id --eval-id --target-block-id --status --exclude-status --trigger-type --from-date --to-date --order --limit --all --ids --quiet -q --json --help -h" ;;
        ' workflows evals runs wait') options="--timeout --rate-limit --shared --quiet -q --json --help -h" ;;
        ' workflows experiments') options="--help -h"; commands="runs" ;;
        ' workflows experiments runs') options="--help -h"; commands="cancel cancel-matching create get list wait" ;;
        ' workflows experiments runs cancel') options="--from-file --column --dedupe --concurrency --rate-limit --shared --journal --wait --wait-timeout --outage-timeout --failed --quiet -q --json --help -h" ;;
        ' workflows experiments runs cancel-matching') options="--workflow-id --experiment-id --block-id --status --exclude-status --trigger-type --from-date --to-date --dry-run --yes --concurrency --rate-limit --shared --journal --wait --wait-timeout --outage-timeout --failed --quiet -q --json --help -h" ;;
        ' workflows experiments runs create') options="--workflow-id --plan-token --wait --timeout --extra-body --idempotency-key --output --quiet -q --json --help -h" ;;
        ' workflows experiments runs get') options="--output --json --help -h" ;;
        ' workflows experiments runs list') options="--workflow-id --experiment-id --block-id --status --exclude-status --trigger-type --from-date --to-date --order --limit --all --ids --quiet -q --json --help -h" ;;
        ' workflows experiments runs wait') options="--timeout --rate-limit --shared --quiet -q --json --help -h" ;;
        ' workflows runs') options="--help -h"; commands="cancel cancel-matching create delete get list wait" ;;
        ' workflows runs cancel') options="--from-file --column --dedupe --concurrency --rate-limit --shared --journal --wait --wait-timeout --outage-timeout --failed --quiet -q --json --help -h" ;;
        ' workflows runs cancel-matching') options="--workflow-id --status --exclude-status --trigger-type --search --metadata --min-duration-ms --max-duration-ms --from-date --to-date --dry-run --yes --concurrency --rate-limit --shared --journal --wait --wait-timeout --outage-timeout --failed --quiet -q --json --help -h" ;;
        ' workflows runs create') options="--document --json-input --version --metadata --sources --wait --timeout --extra-body --idempotency-key --output --quiet -q --json --help -h" ;;
        ' workflows runs delete') options="--yes --rate-limit --shared --quiet -q --json --help -h" ;;
        ' workflows runs get') options="--output --json --help -h" ;;
        ' workflows runs list') options="--workflow-id --status --exclude-status --trigger-type --search --metadata --min-duration-ms --max-duration-ms --from-date --to-date --order --limit --all --ids --quiet -q --json --help -h" ;;
        ' workflows runs wait') options="--timeout --rate-limit --shared --quiet -q --json --help -h" ;;
    esac
    case "$at $previous" in
        *" --additional-message" | *" --api-key" | *" --block-id" | *" --category" | *" --color" | *" --column" | *" --concurrency" | *" --document" | *" --document-type" | *" --env" | *" --eval-id" | *" --exclude-status" | *" --experiment-id" | *" --filename" | *" --filename-contains" | *" --first-n-pages" | *" --from-date" | *" --host" | *" --idempotency-key" | *" --instructions" | *" --intent" | *" --json-input" | *" --key" | *" --kind" | *" --latency" | *" --limit" | *" --max-duration-ms" | *" --metadata" | *" --mime-type" | *" --min-duration-ms" | *" --model" | *" --n-consensus" | *" --outage-timeout" | *" --plan-token" | *" --port" | *" --queued" | *" --rate-limit" | *" --running" | *" --runs" | *" --search" | *" --seed" | *" --status" | *" --subdocument" | *" --target-block-id" | *" --template-id" | *" --timeout" | *" --to-date" | *" --trigger-type" | ' workflows runs create --version' | *" --wait-timeout" | *" --workflow-id") return ;;
        *" --extra-body" | *" --failed" | *" --from-file" | *" --ids-file" | *" --journal" | *" --out" | *" --output" | *" --schema" | *" --shared") compopt -o default; return ;;
        *" --order") options="" commands="asc desc"; current_is_value=1 ;;
        *" --sources") options="" commands="located cited"; current_is_value=1 ;;
        *" --table-parsing-format") options="" commands="markdown yaml html json"; current_is_value=1 ;;
    esac
    if [[ $current == -* && -z $current_is_value ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$current"))
    elif [[ -n $commands ]]; then
        COMPREPLY=($(compgen -W "$commands" -- "$current"))
    elif [[ -n $files ]]; then
        compopt -o default
    fi
}
complete -F _retab_async retab-async
