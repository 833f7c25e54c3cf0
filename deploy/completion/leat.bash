# bash completion for leat and its programs. What can be completed is asked of the program itself (--help-table), so it
# always fits the version that is installed.

# The first column of a table's lines whose second is not "arguments".
_leat_names() {
    local name kind rest
    while IFS=$'\t' read -r name kind rest; do
        [[ $kind == arguments ]] || printf '%s\n' "$name"
    done
}

# What an option's value may be, by its row: choices, files, or nothing that can be known.
_leat_value() {
    local table=$1 option=$2 cur=$3 name kind value rest
    while IFS=$'\t' read -r name kind value rest; do
        [[ $name == "$option" ]] || continue
        case $kind:$value in
        text:*[a-z],[a-z]*) COMPREPLY=($(compgen -W "${value//,/ }" -- "$cur")) ;;
        *:DIR) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$cur")) ;;
        *:FILE* | *:PATH) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$cur")) ;;
        esac
        return 0
    done <<<"$table"
    return 0
}

# Whether the option wants a value.
_leat_wants_value() {
    local name kind rest
    while IFS=$'\t' read -r name kind rest; do
        [[ $name == "$2" && $kind != flag ]] && return 0
    done <<<"$1"
    return 1
}

# Words in lower case among the arguments, as in "[ventilator | sink | worker NAME]".
_leat_arguments() {
    local name kind value rest word
    while IFS=$'\t' read -r name kind value rest; do
        [[ $kind == arguments ]] || continue
        for word in ${value//[][|.]/ }; do
            [[ $word != *[A-Z]* ]] && printf '%s\n' "$word"
        done
    done <<<"$1"
}

_leat() {
    local IFS=$' \t\n' cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} table
    local -a command=("${COMP_WORDS[0]}")
    COMPREPLY=()
    type -P -- "${command[0]}" >/dev/null || return 0
    if [[ ${command[0]##*/} == leat ]]; then
        if ((COMP_CWORD == 1)); then
            COMPREPLY=($(compgen -W "$("${command[0]}" --help-table | _leat_names) --help --version" -- "$cur"))
            return 0
        fi
        command+=("${COMP_WORDS[1]}")
    fi
    table=$("${command[@]}" --help-table 2>/dev/null) || return 0
    # --log=debug comes as three words: "--log", "=", "debug".
    if [[ $cur == = ]]; then
        cur=
        _leat_value "$table" "$before" "$cur"
    elif [[ $before == = ]]; then
        _leat_value "$table" "${COMP_WORDS[COMP_CWORD - 2]}" "$cur"
    elif [[ $before == --* ]] && _leat_wants_value "$table" "$before"; then
        _leat_value "$table" "$before" "$cur"
    elif [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$(_leat_names <<<"$table")" -- "$cur"))
    else
        COMPREPLY=($(compgen -W "$(_leat_arguments "$table")" -- "$cur"))
    fi
    return 0
}

complete -F _leat leat leat-ventilator leat-sink leat-worker leat-producer
