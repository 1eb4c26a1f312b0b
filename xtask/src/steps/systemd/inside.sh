#!/bin/bash
# Runs inside a booted Debian, as root: tries the units of deploy/systemd, says what it finds, and switches the machine off.
# /root/token has a token of the file of tokens.
TOKEN=$(cat /root/token)
URL=https://127.0.0.1:8080

say() { echo "$1 $2"; }
check() { # check WHAT COMMAND…
    local what=$1
    shift
    if "$@"; then say ok "$what"; else say FAILED "$what"; fi
}
pid() { systemctl show -P MainPID cuttlebone.service; }
whoami_status() { curl -sk -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $TOKEN" "$URL/api/v1/whoami"; }
is_user() { # no rights of any kind, and a filter of system calls
    local status=/proc/$(pid)/status
    grep -qE '^Uid:\s+[1-9]' "$status" && grep -qE '^CapEff:\s+0+$' "$status" && grep -qE '^Seccomp:\s+2$' "$status"
}
answers() { [ "$(curl -sk "$URL/livez")" = ok ] && [ "$(curl -s http://127.0.0.1:9090/readyz)" = ok ]; }
until_true() { # until_true SECONDS COMMAND…
    local seconds=$1
    shift
    for _ in $(seq "$seconds"); do
        "$@" && return
        sleep 1
    done
    false
}
has_status() { [ "$(whoami_status)" = "$1" ]; }
times_reloaded() { journalctl -u cuttlebone --no-pager -o cat | grep -c 'reloaded log.level'; }
has_reloaded() { [ "$(times_reloaded)" -gt "$1" ]; }
reloads() { # reloads EXPECTED: the signal arrives, and the file of tokens as it is now counts
    local before; before=$(times_reloaded)
    systemctl reload cuttlebone.service && until_true 5 has_reloaded "$before" && has_status "$1"
}
refuses_nobody() { # while it is started anew
    for _ in $(seq 150); do curl -sk --max-time 10 -o /dev/null -w '%{http_code}\n' "$URL/livez"; done >/root/answers &
    sleep 0.3
    systemctl restart cuttlebone.service
    wait
    [ "$(sort -u /root/answers)" = 200 ] && [ "$(wc -l </root/answers)" = 150 ]
}
is_another() { local now; now=$(pid); [ "$now" != 0 ] && [ "$now" != "$1" ]; }
is_freed_from_a_halt() {
    local stuck; stuck=$(pid)
    kill -STOP "$stuck"
    until_true 60 is_another "$stuck" && until_true 10 answers
}
gives_up_on_a_bad_configuration() {
    echo 'nonsense = 1' >>/etc/cuttlebone/cuttlebone.toml
    systemctl restart cuttlebone.service
    sleep 3
    [ "$(systemctl show -P ExecMainStatus cuttlebone.service)" = 78 ] &&
        [ "$(systemctl show -P ActiveState cuttlebone.service)" = failed ]
}

systemctl enable --now cuttlebone.socket cuttlebone.service
check "it runs" systemctl -q is-active cuttlebone.socket cuttlebone.service
check "as a user without rights" is_user
check "it answers" answers
check "it knows a token" has_status 200
mv /etc/cuttlebone/tokens /root/tokens
install -m 644 /dev/null /etc/cuttlebone/tokens
check "a reload takes a token back" reloads 401
install -m 644 /root/tokens /etc/cuttlebone/tokens
check "a reload knows it again" reloads 200
check "a restart refuses nobody" refuses_nobody
check "one that is stuck is started anew" is_freed_from_a_halt
check "a bad configuration is not tried again and again" gives_up_on_a_bad_configuration
journalctl -u cuttlebone --no-pager -o cat
say done ""
systemctl poweroff
