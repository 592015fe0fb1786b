import type { CommandContext, CommandResult } from '../output/command-context.js';
import type { Shell } from '../options/options.js';

/**
 * Bash cuts words at colons and equals signs, and puts in only what follows the last of them; so they are put
 * together here, and what it has already is taken off the answers.
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

/** Fish itself leaves out the blank behind words that end with `=`, `:`, `,` or `/`. */
export const FISH_SCRIPT: string =
  String.raw`# Completion of landfall for fish, made by: landfall completion fish
function __landfall_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct | string unescape)
    set -l lines (landfall __complete $words[2..] "$typed" 2>/dev/null)
    set -q lines[1]; or return
    set -q lines[2]; and printf '%s\n' $lines[2..]
    set -l first (string split -m 1 ' ' -- $lines[1])
    set -l path (string sub -s (math (string length -- "$first[2]") + 1) -- "$typed")
    switch $first[1]
        case files
            __fish_complete_path "$path" | string replace -r '^' -- "$first[2]"
        case directories
            __fish_complete_directories "$path" '' | string replace -r '^' -- "$first[2]"
    end
end
complete -c landfall -e
complete -c landfall -k -f -a '(__landfall_complete)'
`.replaceAll('\\$', '$');

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

const SCRIPTS: Readonly<Record<Shell, string>> = { bash: BASH_SCRIPT, zsh: ZSH_SCRIPT, fish: FISH_SCRIPT };

/** In no other form, whatever a configuration file says: a shell is to read it. */
export function completionCommand(shell: Shell, { stdout }: CommandContext): CommandResult {
  stdout.write(SCRIPTS[shell]);
  return Promise.resolve(0);
}
