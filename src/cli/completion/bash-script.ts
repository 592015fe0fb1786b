/**
 * Bash cuts words at colons and equals signs, and puts in only what follows the last of them; so they are put together here, and what it
 * has already is taken off the answers.
 */
export const BASH_SCRIPT: string =
  String.raw`# Completion of landfall for bash, made by: landfall completion bash
_landfall() {
    local left=\${COMP_LINE:0:COMP_POINT} part i
    local -a words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        if ((i == 0)) || [[ $left == [[:space:]]* ]]; then
            left=\${left#"\${left%%[![:space:]]*}"}
            words+=('')
        fi
        part=\${COMP_WORDS[i]}
        ((i == COMP_CWORD)) && part=$left
        words[\${#words[@]} - 1]+=$part
        left=\${left#"$part"}
    done
    local last=$((\${#words[@]} - 1))
    local typed=\${words[last]} quoted=''
    [[ $typed == [\"\']* ]] && quoted=1
    for i in "\${!words[@]}"; do
        part=\${words[i]//\\/}
        part=\${part#[\"\']}
        words[i]=\${part%[\"\']}
    done
    typed=\${words[last]}

    local answer first word about
    local -a found=() abouts=()
    answer=$(landfall __complete "\${words[@]:1}" 2>/dev/null) || return
    while IFS=$'\t' read -r word about; do
        if [[ -z $first ]]; then
            first=$word
        elif [[ -n $word ]]; then
            found+=("$word")
            abouts+=("$about")
        fi
    done <<<"$answer"

    local kind=\${first%% *} prefix=\${first#* } path
    if [[ $kind == files || $kind == directories ]]; then
        compopt -o filenames 2>/dev/null
        while IFS= read -r path; do
            [[ -n $path ]] || continue
            found+=("$prefix$path")
            abouts+=('')
        done < <(
            if [[ $kind == files ]]; then
                compgen -f -- "\${typed#"$prefix"}"
            else
                compgen -d -- "\${typed#"$prefix"}"
            fi
        )
    fi

    local breaks=\${COMP_WORDBREAKS//[^:=@]/} head=''
    if [[ -z $quoted && -n $breaks && $typed == *[$breaks]* ]]; then
        head=\${typed%"\${typed##*[$breaks]}"}
    fi
    COMPREPLY=("\${found[@]#"$head"}")
    if ((\${#found[@]} == 1)); then
        [[ \${found[0]} == *[=:/,] ]] && compopt -o nospace 2>/dev/null
        return
    fi

    # Listed, not put in: then there is room to say what each is for.
    ((COMP_TYPE == 63)) || return
    local widest=0 room
    for word in "\${COMPREPLY[@]}"; do
        ((\${#word} > widest)) && widest=\${#word}
    done
    room=$((\${COLUMNS:-80} - widest - 5))
    ((room > 20)) || return
    for i in "\${!COMPREPLY[@]}"; do
        [[ -n \${abouts[i]} ]] || continue
        about=\${abouts[i]}
        ((\${#about} > room)) && about=\${about:0:room - 1}…
        printf -v 'COMPREPLY[i]' '%-*s  (%s)' "$widest" "\${COMPREPLY[i]}" "$about"
    done
}
complete -o nosort -F _landfall landfall 2>/dev/null || complete -F _landfall landfall
`.replaceAll('\\$', '$');
