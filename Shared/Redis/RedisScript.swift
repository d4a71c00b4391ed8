/// A Lua script, run in one round trip and without interruption by other commands.
///
/// Everything it touches is named in `KEYS`; it is sent by its digest once Redis knows it.
package struct RedisScript: Sendable, Hashable {
    package let source: String

    package init(_ source: String) { self.source = source }
}
