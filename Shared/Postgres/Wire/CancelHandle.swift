import CLibPQ

/// What is needed to ask the server to end a connection's statement, from any thread.
///
/// `@unchecked` because it owns a C pointer: PQcancel is documented as safe from other threads, and the pointer is freed
/// only with the last reference.
final class CancelHandle: @unchecked Sendable {
    private let pointer: OpaquePointer

    init?(_ connection: OpaquePointer) {
        guard let pointer = PQgetCancel(connection) else { return nil }
        self.pointer = pointer
    }

    deinit { PQfreeCancel(pointer) }

    /// Opens a connection of its own and waits until the server has taken the request: never call it on the cooperative pool.
    func send() {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { text in
            _ = PQcancel(pointer, text.baseAddress, CInt(text.count))
        }
    }
}
