/// A limit: `quota` requests in `window` seconds, all at once or spread. The name is of letters, digits and `-`.
struct LimitPolicy: Sendable, Hashable {
    let name: String
    let quota: Int
    let window: Int
    /// Whoever has exceeded the limit is refused for so many seconds; 0 for no longer than it takes.
    var block = 0
    /// Units may be given back long after they were taken, as those of sign-ins that succeed; so each is asked for, none leased.
    var returnsUnits = false

    /// `"default";q=1000;w=60` (draft-ietf-httpapi-ratelimit-headers, section 3).
    var header: String { "\"\(name)\";q=\(quota);w=\(window)" }
}
