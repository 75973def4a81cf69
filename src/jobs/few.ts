/**
 * A set that mostly has one member, held for each of thousands of jobs: the one needs no table, of which a `Set` makes
 * one of some 200 bytes however little is in it.
 */
export interface Few<T extends object> {
  one: T | null;
  others: Set<T> | null;
}

/** An empty one. */
export function few<T extends object>(): Few<T> {
  return { one: null, others: null };
}

/** Adds what is not in it yet. */
export function addTo<T extends object>(members: Few<T>, member: T): void {
  if (members.one === null && members.others?.has(member) !== true) members.one = member;
  else if (members.one !== member) {
    members.others ??= new Set();
    members.others.add(member);
  }
}

/** Removes what may be in it. */
export function removeFrom<T extends object>(members: Few<T>, member: T): void {
  if (members.one === member) members.one = null;
  else members.others?.delete(member);
}

export function isEmpty(members: Few<object>): boolean {
  return members.one === null && (members.others === null || members.others.size === 0);
}

/** Calls `visit` with each. It may add and remove; who is added meanwhile may be visited or not. */
export function forEachOf<T extends object>(members: Few<T>, visit: (member: T) => void): void {
  if (members.one !== null) visit(members.one);
  members.others?.forEach(visit);
}
