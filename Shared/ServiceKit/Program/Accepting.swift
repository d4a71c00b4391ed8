package import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization

/// Ends the taking of connections a moment before the server itself ends: a service of its own, to be stopped before the server's.
///
/// A connection that is accepted just while Hummingbird's server closes is dropped before it was begun, and SwiftNIO takes that for a fault of
/// the program, which ends there and then with every request under way. So first nothing more is accepted, then what was is begun, and
/// only then the server stops.
package final class Accepting: Service {
    /// What it takes to begin connections that were accepted already, with much to spare.
    private static let settling: Duration = .milliseconds(100)

    private let channel = Mutex<(any Channel)?>(nil)

    package init() {}

    /// The server listens.
    package func began(_ channel: any Channel) { self.channel.withLock { $0 = channel } }

    package func run() async throws {
        try? await gracefulShutdown()
        await end()
    }

    /// Returns when no connection is being accepted, nor will be.
    package func end() async {
        guard let channel = channel.withLock({ $0 }), let address = channel.localAddress else { return }
        try? await channel.setOption(.autoRead, value: false).get()
        // The channel has asked for one more connection already: this is it.
        let last = try? await ClientBootstrap(group: channel.eventLoop).connectTimeout(.seconds(1)).connect(to: address).get()
        try? await last?.close()
        try? await Task.sleep(for: Self.settling)
    }
}
