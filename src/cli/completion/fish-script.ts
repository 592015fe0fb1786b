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
