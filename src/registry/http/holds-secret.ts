/** Whether a registry's words echo something that no message may hold, as it is or percent-encoded. */
export function holdsSecret(text: string, secrets: readonly string[]): boolean {
  const forms = [text, decoded(text)];
  return secrets.some((secret) => forms.some((form) => form.includes(secret)));
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
}
