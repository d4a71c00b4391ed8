package import Contracts
import Foundation
package import Logging
import Metrics
import ServiceLifecycle
import Synchronization
import Tracing
import UnixSignals

#if canImport(Glibc)
    import Glibc
#endif

/// The process-wide ends of logging, metrics and tracing, set up once.
package enum Telemetry {
    package static let metrics = Prometheus()

    /// Makes swift-log and swift-metrics speak as the platform does. Later calls do nothing.
    package static func bootstrap(service: ServiceName, level: Logger.Level) {
        _ = Once.metrics
        Once.log(service, level)
    }

    private static let exporters = Mutex<TraceExporter?>(nil)

    /// The exporter of this process, once a program has been put together.
    package static var spans: TraceExporter? { exporters.withLock { $0 } }

    /// One exporter a process; in tests, where several programs share one, the first serves all.
    static func exporter(for service: ServiceName, endpoint: String?, logger: Logger) -> TraceExporter {
        exporters.withLock { known in
            if let known { return known }
            let exporter = TraceExporter(service: service, endpoint: endpoint, logger: logger)
            InstrumentationSystem.bootstrap(exporter)
            known = exporter
            return exporter
        }
    }

    private enum Once {
        static let metrics: Void = MetricsSystem.bootstrap(Telemetry.metrics)
        private static let logged = Mutex(false)
        static func log(_ service: ServiceName, _ level: Logger.Level) {
            let first = logged.withLock { done in
                defer { done = true }
                return !done
            }
            guard first else { return }
            LoggingSystem.bootstrap { _ in JSONLog(service: service.rawValue, level: level) }
        }
    }
}

/// Starts a program as its own process: `--help`, settings, signals, exit code.
package enum Launch {
    /// EX_CONFIG of sysexits.h: the environment is wrong, and starting again will not help.
    static let configurationExitCode: Int32 = 78

    package static func run<P: Program>(_ program: P.Type) async {
        let arguments = CommandLine.arguments.dropFirst()
        if arguments.contains("--help") || arguments.contains("-h") {
            write(help(program), to: STDOUT_FILENO)
            return
        }
        if let unknown = arguments.first {
            write(
                "\(P.name): unknown argument \(unknown). Settings come from the environment: \(P.name) --help lists them.\n",
                to: STDERR_FILENO)
            exit(64)
        }
        signal(SIGPIPE, SIG_IGN)
        let environment = ProcessInfo.processInfo.environment
        let level = environment["TRIONEX_LOG_LEVEL"].flatMap { Logger.Level(rawValue: $0.lowercased()) } ?? .info
        Telemetry.bootstrap(service: P.name, level: level)
        let logger = Logger(label: P.name.rawValue)
        do {
            let host = try ProgramHost(program, environment: environment)
            logger.info("starting", metadata: ["port": "\(host.settings.http.port)", "endpoints": "\(host.endpoints.count)"])
            try await host.serviceGroup(signals: [.sigterm, .sigint]).run()
            logger.info("stopped")
        } catch let refused as ProgramHost.SettingsRefused {
            write("\(P.name) cannot start:\n" + refused.problems.map { "  - \($0)\n" }.joined(), to: STDERR_FILENO)
            exit(configurationExitCode)
        } catch {
            logger.critical("stopped by an error", metadata: ["reason": "\(error)"])
            exit(1)
        }
    }

    private static func help<P: Program>(_ program: P.Type) -> String {
        let settings = ProgramHost.settings(of: program)
        let width = settings.map(\.variable.count).max() ?? 0
        let lines = settings.map { setting in
            let padded = setting.variable.padding(toLength: width, withPad: " ", startingAt: 0)
            return "  \(padded)  \(setting.meaning)\(setting.fallback.map { " [\($0)]" } ?? " [required]")"
        }
        return """
            \(P.name): \(P.summary)

            Settings are environment variables; each may also be given as NAME_FILE, a file that holds the value.

            \(lines.joined(separator: "\n"))

            """
    }

    private static func write(_ text: String, to descriptor: Int32) {
        FileHandle(fileDescriptor: descriptor).write(Data(text.utf8))
    }
}
