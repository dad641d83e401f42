# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_holysheep_proxy_global_optspecs
    string join \n h/help V/version
end

function __fish_holysheep_proxy_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_holysheep_proxy_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_holysheep_proxy_using_subcommand
    set -l cmd (__fish_holysheep_proxy_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c holysheep-proxy -n "__fish_holysheep_proxy_needs_command" -s h -l help -d 'Print help'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_needs_command" -s V -l version -d 'Print version'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_needs_command" -f -a "serve" -d 'Serve requests until SIGTERM or Ctrl-C'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_needs_command" -f -a "check" -d 'Try the way to upstream, step by step, and say what to do about failures'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_needs_command" -f -a "measure" -d 'Measure how long answers take from here, directly and through proxies'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_needs_command" -f -a "config" -d 'Show what the configuration comes to, without secrets, or check it'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_needs_command" -f -a "costs" -d 'Compute what models cost: official prices against HolySheep\'s, or a bill by client'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_needs_command" -f -a "client" -d 'Make, list and remove the keys of clients (`auth: clients`)'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_needs_command" -f -a "version" -d 'Print version and build facts'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand serve" -l config -d 'Configuration file (YAML)' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand serve" -l listen -d 'Data port [default: 127.0.0.1:8080]' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand serve" -l admin-listen -d 'Admin port [default: 127.0.0.1:9090]' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand serve" -l upstream -d 'Base URL of the API [default: HolySheep\'s]' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand serve" -l api-key-file -d 'File with the upstream key; read again when it changes' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand serve" -l upstream-ca -d 'Certificates to trust besides the public web\'s (PEM)' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand serve" -l auth -d 'Who may use the data port [default on loopback: open]' -r -f -a "open\t'Everyone who can reach it; requests get the proxy\'s upstream key'
passthrough\t'Everyone; each request keeps the key its client sent'
clients\t'Clients with a key of their own; requests get the proxy\'s upstream key instead of it'"
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand serve" -l clients-file -d 'File of clients and their keys; read again when it changes' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand serve" -l state-dir -d 'Directory for what outlives the process [default: none]' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand serve" -l workers -d 'Worker threads [default: the CPUs the cgroup allows]' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand serve" -l take-over -d 'Unix socket where a running process hands over its ports' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand serve" -l ebpf -d 'Kernel programs [default: auto]' -r -f -a "auto\t'Where possible; the log says what is off and why'
required\t'Refuse to start without them'
off\t'Never'"
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand serve" -l probe-source -d 'Where health probes come from, to be steered; repeatable' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand serve" -l probe-listen -d 'A port for health probes only [default: none]' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand serve" -l log-format -d 'Form of logs [default: json if `PROXY_MODE` is production]' -r -f -a "json\t'One JSON object a line'
text\t'For a terminal'"
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand serve" -l ebpf-log -d 'Write what kernel programs say to the log; for debugging'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand serve" -s h -l help -d 'Print help'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand check" -l config -d 'Configuration file (YAML)' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand check" -l listen -d 'Data port [default: 127.0.0.1:8080]' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand check" -l admin-listen -d 'Admin port [default: 127.0.0.1:9090]' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand check" -l upstream -d 'Base URL of the API [default: HolySheep\'s]' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand check" -l api-key-file -d 'File with the upstream key; read again when it changes' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand check" -l upstream-ca -d 'Certificates to trust besides the public web\'s (PEM)' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand check" -l auth -d 'Who may use the data port [default on loopback: open]' -r -f -a "open\t'Everyone who can reach it; requests get the proxy\'s upstream key'
passthrough\t'Everyone; each request keeps the key its client sent'
clients\t'Clients with a key of their own; requests get the proxy\'s upstream key instead of it'"
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand check" -l clients-file -d 'File of clients and their keys; read again when it changes' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand check" -l state-dir -d 'Directory for what outlives the process [default: none]' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand check" -l workers -d 'Worker threads [default: the CPUs the cgroup allows]' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand check" -l take-over -d 'Unix socket where a running process hands over its ports' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand check" -l ebpf -d 'Kernel programs [default: auto]' -r -f -a "auto\t'Where possible; the log says what is off and why'
required\t'Refuse to start without them'
off\t'Never'"
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand check" -l probe-source -d 'Where health probes come from, to be steered; repeatable' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand check" -l probe-listen -d 'A port for health probes only [default: none]' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand check" -l log-format -d 'Form of logs [default: json if `PROXY_MODE` is production]' -r -f -a "json\t'One JSON object a line'
text\t'For a terminal'"
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand check" -l ebpf-log -d 'Write what kernel programs say to the log; for debugging'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand check" -s h -l help -d 'Print help'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand measure" -l target -d 'What to measure, as direct=https://api.holysheep.ai/v1; repeatable' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand measure" -l path -d 'What is asked for [default: /v1/models?limit=1]' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand measure" -l body -d 'POST this JSON to PATH; costs tokens at each request' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand measure" -l samples -d 'Requests to each target' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand measure" -l rate -d 'Requests a second to each target' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand measure" -l warm-up -d 'Requests to each target before these, not counted' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand measure" -l handshakes -d 'New connections to each target, timed step by step' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand measure" -l timeout -d 'Longest time for one answer, or one connection' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand measure" -l slo -d 'What has to hold, as p95=50ms or proxy:p95=50ms; repeatable' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand measure" -l api-key-file -d 'File with the API key; NAME= for none; repeatable' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand measure" -l ca-file -d 'Certificates to trust besides the public web\'s (PEM)' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand measure" -l format -d 'Form of what is printed' -r -f -a "table\t'For a person'
json\t'For a program'
csv\t'For a spreadsheet'"
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand measure" -s h -l help -d 'Print help'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand config" -l config -d 'Configuration file (YAML)' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand config" -l listen -d 'Data port [default: 127.0.0.1:8080]' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand config" -l admin-listen -d 'Admin port [default: 127.0.0.1:9090]' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand config" -l upstream -d 'Base URL of the API [default: HolySheep\'s]' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand config" -l api-key-file -d 'File with the upstream key; read again when it changes' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand config" -l upstream-ca -d 'Certificates to trust besides the public web\'s (PEM)' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand config" -l auth -d 'Who may use the data port [default on loopback: open]' -r -f -a "open\t'Everyone who can reach it; requests get the proxy\'s upstream key'
passthrough\t'Everyone; each request keeps the key its client sent'
clients\t'Clients with a key of their own; requests get the proxy\'s upstream key instead of it'"
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand config" -l clients-file -d 'File of clients and their keys; read again when it changes' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand config" -l state-dir -d 'Directory for what outlives the process [default: none]' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand config" -l workers -d 'Worker threads [default: the CPUs the cgroup allows]' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand config" -l take-over -d 'Unix socket where a running process hands over its ports' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand config" -l ebpf -d 'Kernel programs [default: auto]' -r -f -a "auto\t'Where possible; the log says what is off and why'
required\t'Refuse to start without them'
off\t'Never'"
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand config" -l probe-source -d 'Where health probes come from, to be steered; repeatable' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand config" -l probe-listen -d 'A port for health probes only [default: none]' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand config" -l log-format -d 'Form of logs [default: json if `PROXY_MODE` is production]' -r -f -a "json\t'One JSON object a line'
text\t'For a terminal'"
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand config" -l check -d 'Say OK, or all that is wrong, and print nothing else'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand config" -l schema -d 'Print the schema of the file (JSON), by which editors complete and check it'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand config" -l ebpf-log -d 'Write what kernel programs say to the log; for debugging'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand config" -s h -l help -d 'Print help'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand costs" -l mix -d 'Tokens of a model, as gpt-4.1=30M:input,5M:cached,10M:output; repeatable [default: the article\'s, 10M:output of each]' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand costs" -l exchange-rate -d 'Yuan for a dollar where the official price is paid' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand costs" -l relay-rate -d 'Yuan for a dollar at HolySheep' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand costs" -l fee -d 'A flat fee in yuan, to be held against paying by use' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand costs" -l from -d 'Make a bill from access logs in JSON; - is standard input' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand costs" -l admin -d 'Make a bill from what running proxies have counted, by the URLs of their admin ports' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand costs" -l since -d 'Only requests from this moment on, as 2026-11-01 or 2026-11-01T12:00:00Z' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand costs" -l until -d 'Only requests before this moment' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand costs" -l invoice -d 'Split this amount over clients in proportion to what they cost' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand costs" -l config -d 'Configuration file with `prices` besides the built-in ones' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand costs" -l format -d 'Form of what is printed' -r -f -a "table\t'For a person'
json\t'For a program'
csv\t'For a spreadsheet'"
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand costs" -l reprice -d 'Compute with the prices of now what the log has computed already'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand costs" -l prices -d 'Show the prices'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand costs" -s h -l help -d 'Print help'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand client; and not __fish_seen_subcommand_from add list remove help" -s h -l help -d 'Print help'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand client; and not __fish_seen_subcommand_from add list remove help" -f -a "add" -d 'Make a key and print it, this once; for a client that is there, one more key'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand client; and not __fish_seen_subcommand_from add list remove help" -f -a "list" -d 'Show who is in the file'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand client; and not __fish_seen_subcommand_from add list remove help" -f -a "remove" -d 'Remove a client, or one key'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand client; and not __fish_seen_subcommand_from add list remove help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand client; and __fish_seen_subcommand_from add" -l file -d 'File of clients and what their keys are told by' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand client; and __fish_seen_subcommand_from add" -l model -d 'A model it may ask for, as gpt-4.1 or deepseek-*; repeatable [default: all]' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand client; and __fish_seen_subcommand_from add" -l route -d 'A path of the API it may use, as /v1/chat/completions; repeatable [default: all]' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand client; and __fish_seen_subcommand_from add" -l expires -d 'The end: a day, a time in UTC, or for how long, as 2027-01-31 or 90d [default: none]' -r
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand client; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand client; and __fish_seen_subcommand_from list" -l file -d 'File of clients and what their keys are told by' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand client; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand client; and __fish_seen_subcommand_from remove" -l file -d 'File of clients and what their keys are told by' -r -F
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand client; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand client; and __fish_seen_subcommand_from help" -f -a "add" -d 'Make a key and print it, this once; for a client that is there, one more key'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand client; and __fish_seen_subcommand_from help" -f -a "list" -d 'Show who is in the file'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand client; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Remove a client, or one key'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand client; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand version" -s h -l help -d 'Print help'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand help; and not __fish_seen_subcommand_from serve check measure config costs client version help" -f -a "serve" -d 'Serve requests until SIGTERM or Ctrl-C'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand help; and not __fish_seen_subcommand_from serve check measure config costs client version help" -f -a "check" -d 'Try the way to upstream, step by step, and say what to do about failures'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand help; and not __fish_seen_subcommand_from serve check measure config costs client version help" -f -a "measure" -d 'Measure how long answers take from here, directly and through proxies'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand help; and not __fish_seen_subcommand_from serve check measure config costs client version help" -f -a "config" -d 'Show what the configuration comes to, without secrets, or check it'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand help; and not __fish_seen_subcommand_from serve check measure config costs client version help" -f -a "costs" -d 'Compute what models cost: official prices against HolySheep\'s, or a bill by client'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand help; and not __fish_seen_subcommand_from serve check measure config costs client version help" -f -a "client" -d 'Make, list and remove the keys of clients (`auth: clients`)'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand help; and not __fish_seen_subcommand_from serve check measure config costs client version help" -f -a "version" -d 'Print version and build facts'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand help; and not __fish_seen_subcommand_from serve check measure config costs client version help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand help; and __fish_seen_subcommand_from client" -f -a "add" -d 'Make a key and print it, this once; for a client that is there, one more key'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand help; and __fish_seen_subcommand_from client" -f -a "list" -d 'Show who is in the file'
complete -c holysheep-proxy -n "__fish_holysheep_proxy_using_subcommand help; and __fish_seen_subcommand_from client" -f -a "remove" -d 'Remove a client, or one key'
