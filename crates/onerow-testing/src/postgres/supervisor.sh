# Stands beside a test process, runs a PostgreSQL server for it, and cleans up when that process is gone.
#
# It is told what to do on its standard input, one shell command a line, and answers each with the exit status. The
# other end of that pipe is held by the test process alone, so end of file means that it ended, in whatever way: by
# returning, by a panic, by an abort, by `kill -9`. A command that is running then is finished first: nothing is
# removed from under `initdb` half way.
#
# A server that several processes share is told `share`. From then on it takes no commands: it goes when the last of its
# guests has, and nobody came for a while. A guest is a process that holds the named pipe `door` open for writing, which
# ends with the process as the other pipe does.
#
# usage: sh -c "$(cat supervisor.sh)" supervisor BIN_DIR

bin=$1

# Only the end of file ends it. Ctrl-C is not for it, nor a hang-up of the terminal, nor the broken pipe of an answer
# that nobody is there to read.
trap '' HUP INT PIPE TERM

# Nobody else may read it: whoever reaches the socket inside needs no password.
umask 077
name=onerow-postgres.XXXXXXXX
# The user that PostgreSQL runs as may be shut out of root's TMPDIR.
dir=$(mktemp -d "${TMPDIR:-/tmp}/$name" 2>/dev/null) || dir=$(mktemp -d "/tmp/$name") || exit 1
data=$dir/data

# Returns when the server accepts connections, or prints why it does not.
#
# The server is a child of this shell, not of `pg_ctl`, which would leave it to the system's first process: in many
# containers that one never reaps, and a killed postmaster would then look alive to the next start for ever.
start() {
    "$bin/postgres" -D "$data" >"$dir/log" 2>&1 </dev/null &
    postmaster=$!
    until accepts_connections; do
        # `sleep` makes the shell wait for a child, and so notice the death of this one.
        if sleep 0.02 && ! kill -0 "$postmaster" 2>/dev/null; then
            cat "$dir/log"
            postmaster=
            return 1
        fi
    done
}

# The first line is the postmaster's process id, the eighth its state. A killed postmaster leaves its file behind.
accepts_connections() {
    [ "$(sed -n '1p; 8s/ *$//p' "$data/postmaster.pid" 2>/dev/null)" = "$postmaster
ready" ]
}

# Sends a signal to the postmaster and returns when it is gone.
stop() {
    [ -n "$postmaster" ] || return 0
    kill -s "$1" "$postmaster" 2>/dev/null
    # A server that a test had frozen would not hear of it.
    kill -s CONT "$postmaster" 2>/dev/null
    wait "$postmaster"
    postmaster=
}

# Whether somebody came while the door was open: until the last guest has left, and for that many seconds at least.
#
# A guest writes the name of a file, and has come in when that is removed: after that the door does not close before the
# guest is gone. One that writes just when it closes finds the door open once more, or the directory gone.
open_door() {
    came=
    sleep "$1" >"$dir/door" &
    while IFS= read -r guest; do
        came=yes
        rm -f "$dir/$guest"
    done <"$dir/door"
    [ -n "$came" ]
}

share() {
    mkfifo "$dir/door" && shared=$1
}

clean() {
    # First, so that no guest takes the end of its file for a welcome.
    rm -f "$dir/door"
    stop QUIT
    # Orphans of a killed postmaster notice within a moment, and may write a file until then.
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        rm -rf "$dir" 2>/dev/null && return
        sleep 0.2
    done
}
trap clean EXIT

postmaster=
shared=
echo "$dir"
while [ -z "$shared" ] && IFS= read -r command; do
    eval "$command" >"$dir/output" 2>&1 </dev/null
    echo "$?" 2>/dev/null
done
if [ -n "$shared" ]; then
    # Whoever waits for the end of the output of the first guest does not wait for this.
    exec </dev/null >/dev/null 2>&1
    while open_door "$shared"; do :; done
fi
