import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import ServiceLifecycle

/// Hummingbird's server with limits on everything a client could overdo.
enum HTTPServer {
    /// The server, and what is to be stopped before it.
    static func services(
        _ router: Router<EndpointContext>, host: String, port: Int, settings: CommonSettings.HTTP, logger: Logger,
        onRunning: @escaping @Sendable (Int) async -> Void
    ) -> [any Service] {
        let accepting = Accepting()
        var quiet = logger
        // Hummingbird's own lines on connections add nothing to our one event per request.
        quiet.logLevel = max(logger.logLevel, .warning)
        let application = Application(
            router: router,
            server: .http1(
                configuration: .init(
                    idleTimeout: .seconds(Int64(settings.idleSeconds)),
                    httpDecoderConfiguration: .init(
                        maxHeaderFieldSize: settings.maxHeaderBytes, maxHeaderListSize: settings.maxHeaderBytes, maxHeaderFieldCount: 100))),
            configuration: .init(
                address: .hostname(host, port: port), serverName: nil, backlog: 1024, reuseAddress: true,
                availableConnectionsDelegate: MaximumAvailableConnections(settings.maxConnections)),
            onServerRunning: { channel in
                accepting.began(channel)
                await onRunning(channel.localAddress?.port ?? port)
            },
            logger: quiet)
        return [application, accepting]
    }
}
