#!/bin/sh
# codex-proxy for 32-bit x86 Linux.
#
# Starts the Node.js in the folder beside this file. It brings its own C library, so that of the
# system it needs a kernel, this shell and a mounted /proc. Nothing is unpacked or written.

complain() {
  printf 'codex-proxy: %s\n' "$*" >&2
  exit 1
}

# Where this file itself is: it may have been started through symbolic links.
self=$0
case $self in
*/*) ;;
*) self=./$self ;;
esac
while [ -h "$self" ]; do
  target=$(readlink "$self") || complain "cannot read the symbolic link '$self'"
  case $target in
  /*) self=$target ;;
  *) self=${self%/*}/$target ;;
  esac
done
runtime=${self%/*}/codex-proxy-runtime

[ -e "$runtime/ld-linux.so.2" ] ||
  complain "the folder '$runtime' is missing: keep it and this file together, as they are in the zip; for a place on the PATH make a symbolic link to this file, not a copy of it"

machine=$(uname -m 2>/dev/null)
case $machine in
i?86 | x86 | x86_64 | amd64 | '') ;;
*) complain "this is the build for 32-bit x86, and this machine is $machine: take the zip for that" ;;
esac

# Node.js itself would say so with a stack trace, or be ended by the first such instruction.
if [ -r /proc/cpuinfo ]; then
  while read -r key value; do
    [ "$key" = flags ] || continue
    case " $value " in
    *' sse2 '*) break ;;
    *) complain "this processor has no SSE2, which Node.js needs (Pentium 4, Athlon 64 and later have it)" ;;
    esac
  done </proc/cpuinfo
fi

# Its paths go through a descriptor of the folder, so that the folder may lie anywhere.
[ -d /proc/self/fd ] || complain "/proc isn't mounted, and this build needs it"

"$runtime/ld-linux.so.2" --version >/dev/null 2>&1 ||
  complain "'$runtime/ld-linux.so.2' cannot be run: the folder may be on a file system that is mounted noexec, the file may have lost its x permission, or this kernel runs no 32-bit programs"

# Settings for other programs on Node.js: one that this version doesn't know would keep it from starting.
unset NODE_OPTIONS

# With a library path of its own the loader asks nothing of the system's libraries, and nothing is
# handed on to programs started from here, as it would be by an environment variable. Debian's
# Node.js would trust what the system trusts, which may be nothing: its own list is as on other platforms.
exec "$runtime/ld-linux.so.2" \
  --inhibit-cache --library-path /proc/self/fd/9 --argv0 "$0" \
  /proc/self/fd/9/node --require /proc/self/fd/9/name.cjs --use-bundled-ca \
  /proc/self/fd/9/codex-proxy.cjs "$@" 9<"$runtime"
