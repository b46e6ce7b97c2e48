// The members of the file that `arena export` writes: a ZIP archive, every member stored as it is, in one order.

const HEADER = 30, LOCAL = 0x04034b50; // bytes of a member's header, and its first four
const MAX_MEMBERS = 5000, MAX_NAME = 100, MAX_BYTES = 64e6; // of a member that is read

/** The members of an archive, by name: where each begins, and its size. Throws if it is none. */
export async function readArchive(file) {
  const members = new Map();
  let at = 0;
  while (members.size <= MAX_MEMBERS && at + HEADER <= file.size) {
    const view = new DataView(await file.slice(at, at + HEADER).arrayBuffer());
    if (view.getUint32(0, true) !== LOCAL) break;
    const size = view.getUint32(22, true), length = view.getUint16(26, true);
    const isStored = view.getUint32(6, true) === 0 && view.getUint16(28, true) === 0 && view.getUint32(18, true) === size;
    if (!isStored || length === 0 || length > MAX_NAME) throw new Error("not stored as arena export stores its members");
    const begin = at + HEADER + length;
    const name = new TextDecoder("utf-8", { fatal: true }).decode(await file.slice(at + HEADER, begin).arrayBuffer());
    if (members.has(name)) throw new Error(`${name} is there twice`);
    if (begin + size > file.size) throw new Error(`it ends within ${name}`);
    members.set(name, { begin, size });
    at = begin + size;
  }
  if (members.size === 0) throw new Error("its first bytes are others");
  return members;
}

/** The bytes of a member; undefined if there is none, or it is too large for a page. */
export async function readMember(file, members, name) {
  const member = members.get(name);
  if (member === undefined || member.size > MAX_BYTES) return undefined;
  return new Uint8Array(await file.slice(member.begin, member.begin + member.size).arrayBuffer());
}
