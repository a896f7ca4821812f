#!/usr/bin/env bash
# Builds an image: containers/build.sh gpu|cpu [OUT] [--force] [arguments of `apptainer build`…]
#
# From the environment: BOOTSTRAP FROM OSVERSION MIRROR PIP_ARGS CODE (containers/README.md says what they
# are; the defaults are those of rllr.def) and pip's own configuration and PIP_* variables.
set -euo pipefail
set -o noglob # addresses are split into words and may hold a `?`

main() {
    usage_check "$@"
    flavour=$1
    shift
    read_arguments "$@"
    cd "$(dirname "${BASH_SOURCE[0]}")/.."
    definition=containers/rllr.def
    definition_hash=$(hash_of "$definition")
    if [[ $force == no ]] && is_current; then
        [[ -e $out.sha256 ]] || write_digest "$(hash_of "$out")"
        echo "$out is up to date: same lock file, definition and flavour (--force builds it again)"
        return
    fi
    check_machine
    build
}

die() {
    echo "error: $*" >&2
    exit 1
}

usage_check() {
    [[ ${1:-} == gpu || ${1:-} == cpu ]] || die "say which image: containers/build.sh gpu|cpu [OUT] [--force]"
}

# Sets out, force and extra (what is left for `apptainer build`).
read_arguments() {
    out=$(dirname "$(realpath "${BASH_SOURCE[0]}")")/rllr.sif
    [[ $flavour == gpu ]] || out=${out%.sif}-cpu.sif
    if [[ $# -gt 0 && $1 != -* ]]; then
        out=$(realpath -m "$1")
        shift
    fi
    force=no extra=()
    local argument
    for argument in "$@"; do
        if [[ $argument == --force ]]; then force=yes; else extra+=("$argument"); fi
    done
}

hash_of() { sha256sum <"$1" | cut -d ' ' -f 1; }

# An image that carries the code is also out of date when the code may have changed.
is_current() {
    [[ -e $out && ${CODE:-no} != yes && " ${extra[*]} " != *" --build-arg"* ]] || return 1
    command -v apptainer >/dev/null || return 1
    local labels expected
    labels=$(apptainer inspect --labels "$out" 2>/dev/null) || return 1
    for expected in "flavour: $flavour" "definition: $definition_hash" "code: no" \
        "lock: $(hash_of containers/requirements.lock)"; do
        grep -qxF "rllr.$expected" <<<"$labels" || return 1
    done
}

check_machine() {
    command -v apptainer >/dev/null || die "apptainer is not installed (or not on PATH): install it, or" \
        "build elsewhere and copy the image to $out"
    [[ $EUID == 0 || " ${extra[*]} " == *" --fakeroot "* ]] || die "building needs root:" \
        "add --fakeroot (or call make with BUILD_ARGS=--fakeroot), or build elsewhere and copy the image to $out"
    mkdir -p "$(dirname "$out")" 2>/dev/null && [[ -w $(dirname "$out") ]] || die "cannot write to $(dirname "$out")"
}

# Under a temporary name until it is complete: an image that exists is a whole one.
build() {
    beside=$(mktemp -d "$out.partial-XXXXXX") # Apptainer makes the file itself
    partial=$beside/image
    work=$(mktemp -d)
    trap 'rm -rf "$work" "$beside"' EXIT
    bind_what_pip_needs
    write_build_arguments
    echo "building $out (${BOOTSTRAP:-docker}, $flavour)"
    apptainer build --build-arg-file "$work/arguments" --warn-unused-build-args "${binds[@]}" \
        --mksquashfs-args "-comp zstd -Xcompression-level 3" "${extra[@]}" \
        "$partial" "$definition" 2>&1 | tee "$work/log" || explain_failure
    digest=$(hash_of "$partial")
    rm -f "$out.sha256" # never beside another image than its own
    mv -f "$partial" "$out"
    write_digest "$digest"
    echo "built $out ($(du -h "$out" | cut -f 1)), sha256 $digest"
}

write_digest() {
    printf '%s  %s\n' "$1" "$(basename "$out")" >"$out.sha256.partial"
    mv -f "$out.sha256.partial" "$out.sha256"
}

write_build_arguments() {
    local name commit
    commit=$(git describe --always --abbrev=40 --exclude '*' --dirty=+ 2>/dev/null || echo unknown)
    {
        for name in BOOTSTRAP FROM OSVERSION MIRROR PIP_ARGS; do
            [[ -z ${!name:-} ]] || echo "$name=${!name}"
        done
        [[ ${BOOTSTRAP:-} != debootstrap ]] || echo "FROM=none" # recorded in the image's labels
        [[ ${CODE:-} != yes ]] || echo "CODE=yes"
        echo "FLAVOUR=$flavour"
        echo "COMMIT=$commit"
        echo "VERSION=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' rllr/__init__.py)"
        echo "DEFINITION=$definition_hash"
        echo "MOUNT_FILES=${mount_files[*]}"
        echo "MOUNT_FOLDERS=${mount_folders[*]}"
    } >"$work/arguments"
}

# pip in the image is to find what pip finds here: %post starts with a clean environment, so pip's settings
# and proxies go in as variables; certificates and local wheels are bound where they are.
bind_what_pip_needs() {
    binds=() mount_files=() mount_folders=()
    local name value word bundle
    while IFS='=' read -r name value; do
        export "APPTAINERENV_$name=$value"
        for word in $value; do bind_local "$word"; done
    done < <(pip_settings)
    for word in ${PIP_ARGS:-}; do bind_local "${word#--*=}"; done
    for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
        [[ -z ${!name:-} ]] || export "APPTAINERENV_$name=${!name}"
    done
    # The certificates this machine trusts (Debian's place or Red Hat's), where the image's programs look.
    for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
        [[ ! -e $bundle ]] || { add_bind "$bundle" /etc/ssl/certs/ca-certificates.crt && break; }
    done
}

# NAME=value lines of pip's configuration files, then of the environment, which wins.
pip_settings() {
    local key value name
    while IFS='=' read -r key value; do
        key=${key^^}
        echo "PIP_${key//-/_}=${value//\\n/ }"
    done < <(python3 -m pip config list 2>/dev/null | sed -nE "s/^(global|install)\.([a-z-]+)='(.*)'$/\2=\3/p")
    for name in $(compgen -e PIP_ | grep -vx PIP_ARGS); do echo "$name=${!name}"; done
}

# Binds an existing absolute path or file:// address; a local index links to files beside its folder `simple`.
bind_local() {
    local path=${1#file://}
    [[ $path == /* && -e $path ]] || return 0
    [[ $path == "$1" || $(basename "$path") != simple ]] || path=$(dirname "$path")
    add_bind "$path" "$path"
}

add_bind() {
    local place
    for place in "${mount_files[@]}" "${mount_folders[@]}"; do [[ $place != "$2" ]] || return 0; done
    if [[ -d $1 ]]; then mount_folders+=("$2"); else mount_files+=("$2"); fi
    binds+=(--bind "$(realpath "$1"):$2:ro")
}

explain_failure() {
    echo >&2
    if grep -qiE 'no space left|disk quota exceeded' "$work/log"; then
        die "the disk is full: building needs about 4 GB (cpu) or 15 GB (gpu) in APPTAINER_TMPDIR" \
            "(now ${APPTAINER_TMPDIR:-/tmp}), and the image's size beside $out"
    elif [[ ${BOOTSTRAP:-docker} == docker ]] && ! grep -q 'Running post scriptlet' "$work/log"; then
        die "the base image was not loaded (see above). Where no container registry is reachable: set" \
            "BOOTSTRAP=debootstrap MIRROR=<a Debian mirror>, or BOOTSTRAP=localimage FROM=<image or folder>," \
            "or build elsewhere and copy the image to $out"
    fi
    die "apptainer build failed; its messages are above"
}

main "$@"
exit
