/** It may lie in a directory of `fpath` under the name `_landfall`, or be sourced. */
export const ZSH_SCRIPT: string = String.raw`#compdef landfall
# Completion of landfall for zsh, made by: landfall completion zsh
_landfall() {
    local -a lines open_words open_shown words_found words_shown
    local line word about kind prefix shown result=1
    local -i widest=0
    lines=("\${(@f)$(landfall __complete "\${(@Q)words[2,CURRENT-1]}" "\${(Q)PREFIX}" 2>/dev/null)}")
    (( $#lines )) || return 1
    kind=\${lines[1]%% *}
    prefix=\${lines[1]#* }
    shift lines
    for line in $lines; do
        word=\${line%%$'\t'*}
        (( $#word > widest )) && widest=$#word
    done
    for line in $lines; do
        word=\${line%%$'\t'*}
        shown=$word
        if [[ $line == *$'\t'* ]]; then
            about=\${line#*$'\t'}
            shown="\${(r:widest:)word}  -- $about"
        fi
        shown=\${shown[1,COLUMNS-1]}
        if [[ $word == *[=:/,] ]]; then
            open_words+=("$word")
            open_shown+=("$shown")
        else
            words_found+=("$word")
            words_shown+=("$shown")
        fi
    done
    if (( $#words_found )); then
        compadd -V landfall -l -d words_shown -a words_found && result=0
    fi
    if (( $#open_words )); then
        compadd -V landfall-open -l -S '' -d open_shown -a open_words && result=0
    fi
    if [[ $kind == files || $kind == directories ]]; then
        [[ -n $prefix ]] && compset -P "\${(b)prefix}"
        if [[ $kind == files ]]; then
            _files && result=0
        else
            _files -/ && result=0
        fi
    fi
    return result
}
if [[ $funcstack[1] == _landfall ]]; then
    _landfall
else
    compdef _landfall landfall
fi
`.replaceAll('\\$', '$');
