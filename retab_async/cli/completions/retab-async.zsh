#compdef retab-async
# Completion of retab-async for zsh; written by tests/completion_scripts.py.
_retab-async() {
    local at="" files="" i previous=${words[CURRENT-1]}
    local -a options commands
    # Of --name=value only the value is completed.
    [[ ${words[CURRENT]} == --*=* ]] && previous=${words[CURRENT]%%=*} && compset -P "*="
    for ((i = 2; i < CURRENT; i++)); do
        case "${words[i-1]}" in --env) continue ;; esac
        case "$at ${words[i]}" in
            ' auth' | ' auth status' | ' cancel' | ' cancel-matching' | ' classifications' | ' classifications cancel' | ' classifications cancel-matching' | ' classifications create' | ' classifications delete' | ' classifications get' | ' classifications list' | ' classifications process' | ' classifications wait' | ' completion' | ' demo' | ' edits' | ' edits cancel' | ' edits cancel-matching' | ' edits create' | ' edits delete' | ' edits get' | ' edits list' | ' edits process' | ' edits wait' | ' extractions' | ' extractions cancel' | ' extractions cancel-matching' | ' extractions create' | ' extractions delete' | ' extractions get' | ' extractions list' | ' extractions process' | ' extractions wait' | ' files' | ' files blueprints' | ' files blueprints cancel' | ' files blueprints create' | ' files blueprints get' | ' files blueprints wait' | ' files download' | ' files get' | ' files list' | ' files upload' | ' parses' | ' parses cancel' | ' parses cancel-matching' | ' parses create' | ' parses delete' | ' parses get' | ' parses list' | ' parses process' | ' parses wait' | ' partitions' | ' partitions cancel' | ' partitions cancel-matching' | ' partitions create' | ' partitions delete' | ' partitions get' | ' partitions list' | ' partitions process' | ' partitions wait' | ' schemas' | ' schemas cancel' | ' schemas create' | ' schemas get' | ' schemas wait' | ' serve' | ' splits' | ' splits cancel' | ' splits cancel-matching' | ' splits create' | ' splits delete' | ' splits get' | ' splits list' | ' splits process' | ' splits wait' | ' workflows' | ' workflows evals' | ' workflows evals runs' | ' workflows evals runs cancel' | ' workflows evals runs cancel-matching' | ' workflows evals runs create' | ' workflows evals runs get' | ' workflows evals runs list' | ' workflows evals runs wait' | ' workflows experiments' | ' workflows experiments runs' | ' workflows experiments runs cancel' | ' workflows experiments runs cancel-matching' | ' workflows experiments runs create' | ' workflows experiments runs get' | ' workflows experiments runs list' | ' workflows experiments runs wait' | ' workflows runs' | ' workflows runs cancel' | ' workflows runs cancel-matching' | ' workflows runs create' | ' workflows runs delete' | ' workflows runs get' | ' workflows runs list' | ' workflows runs wait') at+=" ${words[i]}" ;;
        esac
    done
    case "$at $previous" in
        *" --additional-message" | *" --api-key" | *" --block-id" | *" --category" | *" --color" | *" --column" | *" --concurrency" | *" --document" | *" --document-type" | *" --env" | *" --eval-id" | *" --exclude-status" | *" --experiment-id" | *" --filename" | *" --filename-contains" | *" --first-n-pages" | *" --from-date" | *" --host" | *" --idempotency-key" | *" --instructions" | *" --intent" | *" --json-input" | *" --key" | *" --kind" | *" --latency" | *" --limit" | *" --max-duration-ms" | *" --metadata" | *" --mime-type" | *" --min-duration-ms" | *" --model" | *" --n-consensus" | *" --outage-timeout" | *" --plan-token" | *" --port" | *" --queued" | *" --rate-limit" | *" --running" | *" --runs" | *" --search" | *" --seed" | *" --status" | *" --subdocument" | *" --target-block-id" | *" --template-id" | *" --timeout" | *" --to-date" | *" --trigger-type" | ' workflows runs create --version' | *" --wait-timeout" | *" --workflow-id") return ;;
        *" --extra-body" | *" --failed" | *" --from-file" | *" --ids-file" | *" --journal" | *" --out" | *" --output" | *" --schema" | *" --shared") _files; return ;;
        *" --order") compadd -- asc desc; return ;;
        *" --sources") compadd -- located cited; return ;;
        *" --table-parsing-format") compadd -- markdown yaml html json; return ;;
    esac
    case "$at" in
        "") commands=('auth:Check the API key.' 'cancel:Cancel the runs of a file, of any kind.' 'cancel-matching:Cancel all active runs of all kinds.' 'classifications:Manage classification runs.' 'completion:Print the completion script of a shell.' 'demo:Cancel several hundred runs on a local emulator.' 'edits:Manage edit runs.' 'extractions:Manage extraction runs.' 'files:Upload, list and download files; manage blueprints.' 'parses:Manage parse runs.' 'partitions:Manage partition runs.' 'schemas:Manage schema generation runs.' 'serve:Serve an emulator of the API.' 'splits:Manage split runs.' 'workflows:Manage the runs of workflows.') ;;
        ' auth') commands=('status:Print which key and address the commands use, and whether the API accepts the...') ;;
        ' classifications') commands=('cancel:Cancel classification runs\: those given, or those of a file.' 'cancel-matching:Cancel all active classification runs that match.' 'create:Create one classification run and print it when it finishes.' 'delete:Delete classification runs after a confirmation.' 'get:Read one classification run.' 'list:List classification runs.' 'process:Create a classification run of each document, wait for it, and write a record...' 'wait:Wait for classification runs and print each when it finishes.') ;;
        ' classifications create') files=1 ;;
        ' classifications process') files=1 ;;
        ' completion') commands=(bash fish zsh) ;;
        ' edits') commands=('cancel:Cancel edit runs\: those given, or those of a file.' 'cancel-matching:Cancel all active edit runs that match.' 'create:Create one edit run and print it when it finishes.' 'delete:Delete edit runs after a confirmation.' 'get:Read one edit run.' 'list:List edit runs.' 'process:Create an edit run of each document, wait for it, and write a record of each...' 'wait:Wait for edit runs and print each when it finishes.') ;;
        ' edits create') files=1 ;;
        ' edits process') files=1 ;;
        ' extractions') commands=('cancel:Cancel extraction runs\: those given, or those of a file.' 'cancel-matching:Cancel all active extraction runs that match.' 'create:Create one extraction run and print it when it finishes.' 'delete:Delete extraction runs after a confirmation.' 'get:Read one extraction run.' 'list:List extraction runs.' 'process:Create an extraction run of each document, wait for it, and write a record of...' 'wait:Wait for extraction runs and print each when it finishes.') ;;
        ' extractions create') files=1 ;;
        ' extractions process') files=1 ;;
        ' files') commands=('blueprints:Manage file blueprint runs.' 'download:Download one file, uploaded or sent with a run, and print the name it was...' 'get:Read one file.' 'list:List files.' 'upload:Upload files, and print the id, the name and the URL of each.') ;;
        ' files blueprints') commands=('cancel:Cancel file blueprint runs\: those given, or those of a file.' 'create:Create one file blueprint run and print it when it finishes.' 'get:Read one file blueprint run.' 'wait:Wait for file blueprint runs and print each when it finishes.') ;;
        ' files upload') files=1 ;;
        ' parses') commands=('cancel:Cancel parse runs\: those given, or those of a file.' 'cancel-matching:Cancel all active parse runs that match.' 'create:Create one parse run and print it when it finishes.' 'delete:Delete parse runs after a confirmation.' 'get:Read one parse run.' 'list:List parse runs.' 'process:Create a parse run of each document, wait for it, and write a record of each...' 'wait:Wait for parse runs and print each when it finishes.') ;;
        ' parses create') files=1 ;;
        ' parses process') files=1 ;;
        ' partitions') commands=('cancel:Cancel partition runs\: those given, or those of a file.' 'cancel-matching:Cancel all active partition runs that match.' 'create:Create one partition run and print it when it finishes.' 'delete:Delete partition runs after a confirmation.' 'get:Read one partition run.' 'list:List partition runs.' 'process:Create a partition run of each document, wait for it, and write a record of...' 'wait:Wait for partition runs and print each when it finishes.') ;;
        ' partitions create') files=1 ;;
        ' partitions process') files=1 ;;
        ' schemas') commands=('cancel:Cancel schema generation runs\: those given, or those of a file.' 'create:Create one schema generation run and print it when it finishes.' 'get:Read one schema generation run.' 'wait:Wait for schema generation runs and print each when it finishes.') ;;
        ' schemas create') files=1 ;;
        ' splits') commands=('cancel:Cancel split runs\: those given, or those of a file.' 'cancel-matching:Cancel all active split runs that match.' 'create:Create one split run and print it when it finishes.' 'delete:Delete split runs after a confirmation.' 'get:Read one split run.' 'list:List split runs.' 'process:Create a split run of each document, wait for it, and write a record of each...' 'wait:Wait for split runs and print each when it finishes.') ;;
        ' splits create') files=1 ;;
        ' splits process') files=1 ;;
        ' workflows') commands=('evals:Manage the runs of evals.' 'experiments:Manage the runs of experiments.' 'runs:Manage workflow runs.') ;;
        ' workflows evals') commands=('runs:Manage workflow eval runs.') ;;
        ' workflows evals runs') commands=('cancel:Cancel workflow eval runs\: those given, or those of a file.' 'cancel-matching:Cancel all active workflow eval runs that match.' 'create:Create one workflow eval run and print it as soon as it is created, its id...' 'get:Read one workflow eval run.' 'list:List workflow eval runs.' 'wait:Wait for workflow eval runs and print each when it finishes.') ;;
        ' workflows experiments') commands=('runs:Manage experiment runs.') ;;
        ' workflows experiments runs') commands=('cancel:Cancel experiment runs\: those given, or those of a file.' 'cancel-matching:Cancel all active experiment runs that match.' 'create:Create one experiment run and print it as soon as it is created, its id first.' 'get:Read one experiment run.' 'list:List experiment runs.' 'wait:Wait for experiment runs and print each when it finishes.') ;;
        ' workflows runs') commands=('cancel:Cancel workflow runs\: those given, or those of a file.' 'cancel-matching:Cancel all active workflow runs that match.' 'create:Create one workflow run and print it as soon as it is created, its id first.' 'delete:Delete workflow runs after a confirmation.' 'get:Read one workflow run.' 'list:List workflow runs.' 'wait:Wait for workflow runs and print each when it finishes.') ;;
    esac
    case "$at" in
        "") options+=('--version:Print the version.' '--verbose:Log retries to stderr; with -vv, log every attempt.' '-v:Log retries to stderr; with -vv, log every attempt.' '--env:Use the key of this environment in ~/.retab/config.json of the official CLI.') ;;
    esac
    case "$at" in
        *) options+=('--help:Show this message and exit.' '-h:Show this message and exit.') ;;
    esac
    case "$at" in
        ' auth status' | ' classifications create' | ' classifications delete' | ' classifications get' | ' classifications list' | ' classifications wait' | ' edits create' | ' edits delete' | ' edits get' | ' edits list' | ' edits wait' | ' extractions create' | ' extractions delete' | ' extractions get' | ' extractions list' | ' extractions wait' | ' files blueprints create' | ' files blueprints get' | ' files blueprints wait' | ' files get' | ' files list' | ' files upload' | ' parses create' | ' parses delete' | ' parses get' | ' parses list' | ' parses wait' | ' partitions create' | ' partitions delete' | ' partitions get' | ' partitions list' | ' partitions wait' | ' schemas create' | ' schemas get' | ' schemas wait' | ' splits create' | ' splits delete' | ' splits get' | ' splits list' | ' splits wait' | ' workflows evals runs create' | ' workflows evals runs get' | ' workflows evals runs list' | ' workflows evals runs wait' | ' workflows experiments runs create' | ' workflows experiments runs get' | ' workflows experiments runs list' | ' workflows experiments runs wait' | ' workflows runs create' | ' workflows runs delete' | ' workflows runs get' | ' workflows runs list' | ' workflows runs wait') options+=('--json:Print one JSON object per line.') ;;
    esac
    case "$at" in
        ' cancel' | ' classifications cancel' | ' edits cancel' | ' extractions cancel' | ' files blueprints cancel' | ' parses cancel' | ' partitions cancel' | ' schemas cancel' | ' splits cancel' | ' workflows evals runs cancel' | ' workflows experiments runs cancel' | ' workflows runs cancel') options+=('--from-file:Read the runs from FILE, or from stdin for -.' '--column:Read the ids from the column with this heading.' '--dedupe:Send the cancel of an id that FILE names several times once; keeps all ids in memory.') ;;
    esac
    case "$at" in
        ' cancel') options+=('--kind:Take all runs to be of this kind.') ;;
    esac
    case "$at" in
        ' cancel' | ' cancel-matching' | ' classifications cancel' | ' classifications cancel-matching' | ' demo' | ' edits cancel' | ' edits cancel-matching' | ' extractions cancel' | ' extractions cancel-matching' | ' files blueprints cancel' | ' parses cancel' | ' parses cancel-matching' | ' partitions cancel' | ' partitions cancel-matching' | ' schemas cancel' | ' splits cancel' | ' splits cancel-matching' | ' workflows evals runs cancel' | ' workflows evals runs cancel-matching' | ' workflows experiments runs cancel' | ' workflows experiments runs cancel-matching' | ' workflows runs cancel' | ' workflows runs cancel-matching') options+=('--concurrency:Send up to N cancels at the same time.') ;;
    esac
    case "$at" in
        ' cancel' | ' cancel-matching' | ' classifications cancel' | ' classifications cancel-matching' | ' classifications delete' | ' classifications wait' | ' edits cancel' | ' edits cancel-matching' | ' edits delete' | ' edits wait' | ' extractions cancel' | ' extractions cancel-matching' | ' extractions delete' | ' extractions wait' | ' files blueprints cancel' | ' files blueprints wait' | ' parses cancel' | ' parses cancel-matching' | ' parses delete' | ' parses wait' | ' partitions cancel' | ' partitions cancel-matching' | ' partitions delete' | ' partitions wait' | ' schemas cancel' | ' schemas wait' | ' splits cancel' | ' splits cancel-matching' | ' splits delete' | ' splits wait' | ' workflows evals runs cancel' | ' workflows evals runs cancel-matching' | ' workflows evals runs wait' | ' workflows experiments runs cancel' | ' workflows experiments runs cancel-matching' | ' workflows experiments runs wait' | ' workflows runs cancel' | ' workflows runs cancel-matching' | ' workflows runs delete' | ' workflows runs wait') options+=('--rate-limit:Stay below this rate, such as 300/60 or 300/min, instead of learning the API'"'"'s limit. For this process only\: see --shared.' '--shared:Share the --rate-limit with all processes that name the same file of this machine, or the same Redis server, redis\://HOST\:PORT.') ;;
    esac
    case "$at" in
        ' cancel' | ' cancel-matching' | ' classifications cancel' | ' classifications cancel-matching' | ' edits cancel' | ' edits cancel-matching' | ' extractions cancel' | ' extractions cancel-matching' | ' files blueprints cancel' | ' parses cancel' | ' parses cancel-matching' | ' partitions cancel' | ' partitions cancel-matching' | ' schemas cancel' | ' splits cancel' | ' splits cancel-matching' | ' workflows evals runs cancel' | ' workflows evals runs cancel-matching' | ' workflows experiments runs cancel' | ' workflows experiments runs cancel-matching' | ' workflows runs cancel' | ' workflows runs cancel-matching') options+=('--journal:Record each outcome in FILE; with the same FILE again, skip the settled ids.' '--wait:Wait until each run is in a terminal status.' '--wait-timeout:Wait for one run for at most this time, with --wait.' '--failed:Write the runs that could not be cancelled to FILE, as CSV, or only their ids if it ends with .txt.' '--json:Print one JSON object per line, as outcomes arrive.') ;;
    esac
    case "$at" in
        ' cancel' | ' cancel-matching' | ' classifications cancel' | ' classifications cancel-matching' | ' classifications process' | ' edits cancel' | ' edits cancel-matching' | ' edits process' | ' extractions cancel' | ' extractions cancel-matching' | ' extractions process' | ' files blueprints cancel' | ' parses cancel' | ' parses cancel-matching' | ' parses process' | ' partitions cancel' | ' partitions cancel-matching' | ' partitions process' | ' schemas cancel' | ' splits cancel' | ' splits cancel-matching' | ' splits process' | ' workflows evals runs cancel' | ' workflows evals runs cancel-matching' | ' workflows experiments runs cancel' | ' workflows experiments runs cancel-matching' | ' workflows runs cancel' | ' workflows runs cancel-matching') options+=('--outage-timeout:Give up after the API has been unavailable for this time.') ;;
    esac
    case "$at" in
        ' cancel' | ' cancel-matching' | ' classifications cancel' | ' classifications cancel-matching' | ' classifications create' | ' classifications delete' | ' classifications process' | ' classifications wait' | ' edits cancel' | ' edits cancel-matching' | ' edits create' | ' edits delete' | ' edits process' | ' edits wait' | ' extractions cancel' | ' extractions cancel-matching' | ' extractions create' | ' extractions delete' | ' extractions process' | ' extractions wait' | ' files blueprints cancel' | ' files blueprints create' | ' files blueprints wait' | ' files upload' | ' parses cancel' | ' parses cancel-matching' | ' parses create' | ' parses delete' | ' parses process' | ' parses wait' | ' partitions cancel' | ' partitions cancel-matching' | ' partitions create' | ' partitions delete' | ' partitions process' | ' partitions wait' | ' schemas cancel' | ' schemas create' | ' schemas wait' | ' splits cancel' | ' splits cancel-matching' | ' splits create' | ' splits delete' | ' splits process' | ' splits wait' | ' workflows evals runs cancel' | ' workflows evals runs cancel-matching' | ' workflows evals runs create' | ' workflows evals runs wait' | ' workflows experiments runs cancel' | ' workflows experiments runs cancel-matching' | ' workflows experiments runs create' | ' workflows experiments runs wait' | ' workflows runs cancel' | ' workflows runs cancel-matching' | ' workflows runs create' | ' workflows runs delete' | ' workflows runs wait') options+=('--quiet:Print no progress, only results and errors.' '-q:Print no progress, only results and errors.') ;;
    esac
    case "$at" in
        ' cancel-matching' | ' classifications cancel-matching' | ' classifications list' | ' edits cancel-matching' | ' edits list' | ' extractions cancel-matching' | ' extractions list' | ' parses cancel-matching' | ' parses list' | ' partitions cancel-matching' | ' partitions list' | ' splits cancel-matching' | ' splits list' | ' workflows evals runs cancel-matching' | ' workflows evals runs list' | ' workflows experiments runs cancel-matching' | ' workflows experiments runs list' | ' workflows runs cancel-matching' | ' workflows runs list') options+=('--from-date:Only runs created on or after DATE.' '--to-date:Only runs created on or before DATE.') ;;
    esac
    case "$at" in
        ' cancel-matching' | ' classifications cancel-matching' | ' edits cancel-matching' | ' extractions cancel-matching' | ' parses cancel-matching' | ' partitions cancel-matching' | ' splits cancel-matching' | ' workflows evals runs cancel-matching' | ' workflows experiments runs cancel-matching' | ' workflows runs cancel-matching') options+=('--dry-run:Print the runs that would be cancelled, and cancel none.') ;;
    esac
    case "$at" in
        ' cancel-matching' | ' classifications cancel-matching' | ' classifications delete' | ' edits cancel-matching' | ' edits delete' | ' extractions cancel-matching' | ' extractions delete' | ' parses cancel-matching' | ' parses delete' | ' partitions cancel-matching' | ' partitions delete' | ' splits cancel-matching' | ' splits delete' | ' workflows evals runs cancel-matching' | ' workflows experiments runs cancel-matching' | ' workflows runs cancel-matching' | ' workflows runs delete') options+=('--yes:Skip the confirmation.') ;;
    esac
    case "$at" in
        ' classifications cancel-matching' | ' classifications list' | ' edits cancel-matching' | ' edits list' | ' extractions cancel-matching' | ' extractions list' | ' partitions cancel-matching' | ' partitions list' | ' splits cancel-matching' | ' splits list' | ' workflows evals runs cancel-matching' | ' workflows evals runs list' | ' workflows experiments runs cancel-matching' | ' workflows experiments runs list' | ' workflows runs cancel-matching' | ' workflows runs list') options+=('--status:Only runs in this status, such as in_progress.') ;;
    esac
    case "$at" in
        ' classifications cancel-matching' | ' classifications list' | ' edits cancel-matching' | ' edits list' | ' extractions cancel-matching' | ' extractions list' | ' parses cancel-matching' | ' parses list' | ' partitions cancel-matching' | ' partitions list' | ' splits cancel-matching' | ' splits list') options+=('--filename:Only runs whose filename begins with PREFIX, in any case.') ;;
    esac
    case "$at" in
        ' classifications create' | ' edits create' | ' extractions create' | ' files upload' | ' parses create' | ' partitions create' | ' splits create') options+=('--filename:Send FILE under this name, such as a name for stdin.') ;;
    esac
    case "$at" in
        ' classifications create' | ' classifications process') options+=('--category:Allow this category; repeat it for each.' '--first-n-pages:Read only the first N pages.') ;;
    esac
    case "$at" in
        ' classifications create' | ' classifications process' | ' extractions create' | ' extractions process' | ' parses create' | ' parses process' | ' schemas create' | ' splits create' | ' splits process') options+=('--instructions:Give the model extra instructions.') ;;
    esac
    case "$at" in
        ' classifications create' | ' classifications process' | ' edits create' | ' edits process' | ' extractions create' | ' extractions process' | ' parses create' | ' parses process' | ' partitions create' | ' partitions process' | ' schemas create' | ' splits create' | ' splits process') options+=('--model:Use this model instead of the service'"'"'s small one.') ;;
    esac
    case "$at" in
        ' classifications create' | ' classifications process' | ' extractions create' | ' extractions process') options+=('--n-consensus:Run the model N times, 1 to 16, and combine the results.') ;;
    esac
    case "$at" in
        ' classifications create' | ' classifications process' | ' edits create' | ' edits process' | ' extractions create' | ' extractions process' | ' parses create' | ' parses process' | ' partitions create' | ' partitions process' | ' splits create' | ' splits process') options+=('--bust-cache:Bypass the service'"'"'s cache.') ;;
    esac
    case "$at" in
        ' classifications create' | ' edits create' | ' extractions create' | ' files blueprints create' | ' parses create' | ' partitions create' | ' schemas create' | ' splits create') options+=('--background:Print the run as soon as it is created, its id first, and let it run.') ;;
    esac
    case "$at" in
        ' classifications create' | ' edits create' | ' extractions create' | ' files blueprints create' | ' parses create' | ' partitions create' | ' schemas create' | ' splits create' | ' workflows evals runs create' | ' workflows experiments runs create' | ' workflows runs create') options+=('--wait:Create the run in the background and wait for it; Ctrl-C, SIGTERM and --timeout cancel it.' '--extra-body:Add these fields to the request\: the path of a file, or {...}.' '--idempotency-key:Create at most one run under KEY, however often the command is repeated.') ;;
    esac
    case "$at" in
        ' classifications create' | ' classifications wait' | ' edits create' | ' edits wait' | ' extractions create' | ' extractions wait' | ' files blueprints create' | ' files blueprints wait' | ' parses create' | ' parses wait' | ' partitions create' | ' partitions wait' | ' schemas create' | ' schemas wait' | ' splits create' | ' splits wait' | ' workflows evals runs create' | ' workflows evals runs wait' | ' workflows experiments runs create' | ' workflows experiments runs wait' | ' workflows runs create' | ' workflows runs wait') options+=('--timeout:Stop waiting after this time.') ;;
    esac
    case "$at" in
        ' classifications create' | ' classifications get' | ' edits create' | ' edits get' | ' extractions create' | ' extractions get' | ' files blueprints create' | ' files blueprints get' | ' parses create' | ' parses get' | ' partitions create' | ' partitions get' | ' schemas create' | ' schemas get' | ' splits create' | ' splits get') options+=('--result-only:Print only the result, as JSON; exit with 1 if there is none.') ;;
    esac
    case "$at" in
        ' classifications create' | ' classifications get' | ' edits create' | ' edits get' | ' extractions create' | ' extractions get' | ' files blueprints create' | ' files blueprints get' | ' parses create' | ' parses get' | ' partitions create' | ' partitions get' | ' schemas create' | ' schemas get' | ' splits create' | ' splits get' | ' workflows evals runs create' | ' workflows evals runs get' | ' workflows experiments runs create' | ' workflows experiments runs get' | ' workflows runs create' | ' workflows runs get') options+=('--output:Write the JSON to FILE, and print one line.') ;;
    esac
    case "$at" in
        ' classifications get' | ' edits get' | ' extractions get' | ' files blueprints get' | ' parses get' | ' partitions get' | ' splits get') options+=('--no-output:Leave out the output, and read little more than the status.') ;;
    esac
    case "$at" in
        ' classifications list' | ' edits list' | ' extractions list' | ' files list' | ' parses list' | ' partitions list' | ' splits list' | ' workflows evals runs list' | ' workflows experiments runs list' | ' workflows runs list') options+=('--order:List the newest (desc) or the oldest (asc) first.' '--ids:Print only the ids, one a line.' '--quiet:Print only the ids, one a line.' '-q:Print only the ids, one a line.') ;;
    esac
    case "$at" in
        ' classifications list' | ' edits list' | ' extractions list' | ' parses list' | ' partitions list' | ' splits list' | ' workflows evals runs list' | ' workflows experiments runs list' | ' workflows runs list') options+=('--limit:List up to N runs.' '--all:List all runs, as --limit 0 does.') ;;
    esac
    case "$at" in
        ' classifications process' | ' edits process' | ' extractions process' | ' parses process' | ' partitions process' | ' splits process') options+=('--from-file:Read the FILEs from LIST, one a line, or stdin for -.' '--out:Write the records to FILE, as CSV if it ends with .csv, else as JSON lines.' '--journal:Record each run in FILE; with the same FILE again, continue the job, and complete --out.' '--concurrency:Process up to N documents at the same time.' '--wait-timeout:Cancel a run that takes longer than this.') ;;
    esac
    case "$at" in
        ' demo') options+=('--runs:Start N runs, half of them splits and half partitions.' '--json:Print one JSON object instead of a table.') ;;
    esac
    case "$at" in
        ' edits cancel-matching' | ' edits list') options+=('--template-id:Only runs that fill in this template.') ;;
    esac
    case "$at" in
        ' edits create') options+=('--template-id:Fill in this template instead of a FILE.') ;;
    esac
    case "$at" in
        ' edits create' | ' edits process') options+=('--instructions:Tell the model what to fill in.' '--color:Write in this colour.') ;;
    esac
    case "$at" in
        ' extractions cancel-matching' | ' extractions list') options+=('--filename-contains:Only runs whose filename contains TEXT, in any case.' '--document-type:Only runs of files with this extension, such as pdf; repeat it to allow several.') ;;
    esac
    case "$at" in
        ' extractions cancel-matching' | ' extractions list' | ' workflows runs cancel-matching' | ' workflows runs list') options+=('--metadata:Only runs with this metadata; repeat it to require several pairs.') ;;
    esac
    case "$at" in
        ' extractions create' | ' extractions process') options+=('--schema:Extract what this JSON Schema describes\: the path of a file, or {...}.' '--additional-message:Add a chat message for the model, a JSON object; repeat it for each.') ;;
    esac
    case "$at" in
        ' extractions create' | ' extractions process' | ' workflows runs create') options+=('--metadata:Attach a text to find the run by; repeat it for each.' '--sources:Add where in the documents each result comes from.') ;;
    esac
    case "$at" in
        ' files blueprints create') options+=('--intent:Tell the model the purpose of the blueprint.') ;;
    esac
    case "$at" in
        ' files download') options+=('--output:Write to FILE, or to stdout for -.') ;;
    esac
    case "$at" in
        ' files list') options+=('--filename:Only files with this name.' '--mime-type:Only files of this media type, such as application/pdf.' '--from-date:Only files created on or after DATE.' '--to-date:Only files created on or before DATE.' '--limit:List up to N files.' '--all:List all files, as --limit 0 does.') ;;
    esac
    case "$at" in
        ' parses create' | ' parses process') options+=('--table-parsing-format:Write tables in this format.') ;;
    esac
    case "$at" in
        ' partitions create' | ' partitions process') options+=('--key:Group the pages by this key, such as an account number.' '--instructions:Tell the model which pages belong together.' '--allow-overlap:Allow a page to be in several chunks, or not.' '--no-allow-overlap:Allow a page to be in several chunks, or not.') ;;
    esac
    case "$at" in
        ' partitions create' | ' partitions process' | ' splits create' | ' splits process') options+=('--n-consensus:Run the model N times, 1 to 8, and combine the results.') ;;
    esac
    case "$at" in
        ' serve') options+=('--host:Listen on this address; 0.0.0.0 serves the whole network.' '--port:Listen on this port; 0 picks a free one.' '--api-key:Accept only this key instead of any.' '--queued:Keep each run queued this long.' '--running:Then keep it running this long.' '--latency:Delay each response this long.' '--rate-limit:Refuse requests above this rate, such as 300/60 or 300/min, with 429.' '--no-retry-after:Send Retry-After with each 429, or not.' '--retry-after:Send Retry-After with each 429, or not.' '--seed:Start N runs of each kind, which stay in flight unless --queued or --running is given.' '--ids-file:Write the kinds and ids of the started runs to FILE, as CSV for cancel --from-file.') ;;
    esac
    case "$at" in
        ' splits create' | ' splits process') options+=('--subdocument:Look for this part; repeat it for each.') ;;
    esac
    case "$at" in
        ' workflows evals runs cancel-matching' | ' workflows evals runs list' | ' workflows experiments runs cancel-matching' | ' workflows experiments runs list' | ' workflows runs cancel-matching' | ' workflows runs list') options+=('--workflow-id:Only runs of this workflow.' '--exclude-status:Only runs that are not in this status.' '--trigger-type:Only runs started this way\: api, manual, schedule, ...') ;;
    esac
    case "$at" in
        ' workflows evals runs cancel-matching' | ' workflows evals runs list') options+=('--eval-id:Only runs of this eval.' '--target-block-id:Only runs that evaluate this block.') ;;
    esac
    case "$at" in
        ' workflows evals runs create') options+=('--eval-id:Run only this saved eval.' '--block-id:Run only the saved evals of this block.') ;;
    esac
    case "$at" in
        ' workflows experiments runs cancel-matching' | ' workflows experiments runs list') options+=('--experiment-id:Only runs of this experiment.' '--block-id:Only runs of this block.') ;;
    esac
    case "$at" in
        ' workflows experiments runs create') options+=('--workflow-id:Check that the experiment belongs to this workflow.' '--plan-token:Run only if this is still the token of the plan.') ;;
    esac
    case "$at" in
        ' workflows runs cancel-matching' | ' workflows runs list') options+=('--search:Only runs whose id contains TEXT.' '--min-duration-ms:Only runs that took at least MS.' '--max-duration-ms:Only runs that took at most MS.') ;;
    esac
    case "$at" in
        ' workflows runs create') options+=('--document:Send FILE to the start block BLOCK; repeat it for each.' '--json-input:Send JSON to the start block BLOCK; repeat it for each.' '--version:Run this version\: production, draft, or an id.') ;;
    esac
    if [[ ${words[CURRENT]} == -* ]]; then
        _describe -o option options
    elif (( $#commands )); then
        _describe command commands
    elif [[ -n $files ]]; then
        _files
    fi
}
if [[ ${funcstack[1]} == _retab-async ]]; then _retab-async "$@"; else compdef _retab-async retab-async; fi
