const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]+/gu;

/**
 * Words of a registry made fit for a message: one line, nothing that a terminal would act on, and no query of a URL, which
 * may hold a signature.
 *
 * @param maxLength UTF-16 code units; what is longer ends in an ellipsis
 */
export function plainText(text: string, maxLength: number): string {
  const plain = text
    .replace(UNPRINTABLE, ' ')
    .replace(/ {2,}/g, ' ')
    .replace(/(https?:\/\/[^\s?]*)\?\S*/gi, '$1')
    .trim();
  if (plain.length <= maxLength) return plain;
  // Not between the two halves of a character.
  return `${plain.slice(0, maxLength).replace(/[\uD800-\uDBFF]$/, '')}…`;
}
