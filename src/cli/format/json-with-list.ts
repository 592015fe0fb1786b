/**
 * An object as `JSON.stringify` indents it by two, in pieces: the keys of one object, a list that is taken as it comes, and the keys of
 * another, which is asked for when the list was taken. All of it may be larger than a text can be, and than what memory there is.
 */
export async function* jsonWithList(
  head: object,
  key: string,
  items: AsyncIterable<object>,
  tail: () => object = () => ({}),
): AsyncGenerator<string, void, undefined> {
  const before = membersOf(head);
  yield `{${before}${before === '' ? '' : ','}\n  ${JSON.stringify(key)}: [`;
  let isEmpty = true;
  for await (const item of items) {
    yield `${isEmpty ? '' : ','}\n    ${JSON.stringify(item, null, 2).replaceAll('\n', '\n    ')}`;
    isEmpty = false;
  }
  const after = membersOf(tail());
  yield `${isEmpty ? '' : '\n  '}]${after === '' ? '' : ','}${after}\n}\n`;
}

/** What stands between the braces of an object, without the last line break. */
function membersOf(object: object): string {
  return JSON.stringify(object, null, 2).slice(1, -1).trimEnd();
}
