import Foundation
import Logging
import ServiceKit
import ServiceLifecycle
import Synchronization

/// Looks once a second whether the gateway file has changed, and takes it when it is right. A wrong one is told of and left alone:
/// what was in force goes on.
final class GatewayFileWatch: Service {
    static let interval: Duration = .seconds(1)

    /// What the admin listener shows.
    struct Status: Sendable, Equatable, Encodable {
        /// Nil: there is no file, and the settings alone count.
        var path: String?
        /// Of the file in force.
        var version = ""
        var loadedAt: Date?
        /// When the file was last looked into, and what was wrong with it then; empty when it is in force.
        var triedAt: Date?
        var faults: [String] = []
        var warnings: [String] = []
    }

    /// Tells one state of a file from another without reading it. Mounted configuration changes by a link that points elsewhere.
    private struct Stamp: Equatable {
        let place: String
        let modified: Date?
        let size: Int?
        let number: Int?

        init?(_ path: String) {
            place = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
            guard let facts = try? FileManager.default.attributesOfItem(atPath: place) else { return nil }
            modified = facts[.modificationDate] as? Date
            size = facts[.size] as? Int
            number = facts[.systemFileNumber] as? Int
        }
    }

    private struct State {
        var stamp: Stamp?
        var status: Status
    }

    let path: String?
    private let routing: RoutingState
    private let interval: Duration
    private let now: @Sendable () -> Date
    private let logger: Logger
    private let state: Mutex<State>

    /// `routing` has the file's content already: `begin` makes both.
    private init(
        path: String?, stamp: Stamp?, routing: RoutingState, interval: Duration, now: @escaping @Sendable () -> Date, logger: Logger
    ) {
        self.path = path
        self.routing = routing
        self.interval = interval
        self.now = now
        self.logger = logger
        let file = routing.current.file
        state = Mutex(
            State(stamp: stamp, status: Status(path: path, version: file.version, loadedAt: path == nil ? nil : now(), triedAt: nil)))
    }

    /// Reads the file for the first time. Throws `SettingsRefused` with everything that is wrong with it.
    static func begin(
        path: String?, prefixes: RoutingTable = .platform, defaults: GatewayDefaults, interval: Duration = interval,
        now: @escaping @Sendable () -> Date = { Date() }, logger: Logger
    ) throws(ProgramHost.SettingsRefused) -> (routing: RoutingState, watch: GatewayFileWatch) {
        let routing = RoutingState(prefixes: prefixes, defaults: defaults)
        guard let path else {
            return (routing, GatewayFileWatch(path: nil, stamp: nil, routing: routing, interval: interval, now: now, logger: logger))
        }
        let stamp = Stamp(path)
        do throws(GatewayFaults) {
            try routing.use(read(path, defaults))
        } catch {
            throw ProgramHost.SettingsRefused(problems: error.faults.map { "\(path): \($0)" })
        }
        return (routing, GatewayFileWatch(path: path, stamp: stamp, routing: routing, interval: interval, now: now, logger: logger))
    }

    static func read(_ path: String, _ defaults: GatewayDefaults) throws(GatewayFaults) -> GatewayFile {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw GatewayFaults(faults: [GatewayFault(line: 0, message: "the file cannot be read; check its name and its permissions")])
        }
        guard let text = String(data: data, encoding: .utf8) else {
            throw GatewayFaults(faults: [GatewayFault(line: 0, message: "the file is no UTF-8 text; save it as such")])
        }
        return try GatewayFile(reading: text, defaults)
    }

    var status: Status {
        var status = state.withLock { $0.status }
        status.warnings = routing.warnings.map(\.description)
        return status
    }

    func run() async throws {
        guard path != nil else {
            try? await gracefulShutdown()
            return
        }
        await cancelWhenGracefulShutdown { [self] in
            while !Task.isCancelled {
                try? await Task.sleep(for: interval)
                if !Task.isCancelled { lookAgain() }
            }
        }
    }

    private func lookAgain() {
        guard let path else { return }
        let stamp = Stamp(path)
        guard state.withLock({ $0.stamp != stamp }) else { return }
        reload()
    }

    /// Reads the file now, whether it seems to have changed or not.
    @discardableResult
    func reload() -> Status {
        guard let path else { return status }
        // Taken before the text is read: what is written meanwhile is seen next time.
        let stamp = Stamp(path), time = now()
        do throws(GatewayFaults) {
            let file = try Self.read(path, routing.defaults)
            let warnings = try routing.use(file)
            let isNew = state.withLock { state in
                defer {
                    state.stamp = stamp
                    state.status.triedAt = time
                    state.status.faults = []
                    state.status.version = file.version
                    state.status.loadedAt = time
                }
                return state.status.version != file.version || !state.status.faults.isEmpty
            }
            if isNew { logger.notice("the gateway file is in force", metadata: ["path": "\(path)", "version": "\(file.version)"]) }
            for warning in warnings where isNew {
                logger.warning("a rule of the gateway file may have no effect", metadata: ["rule": "\(warning)"])
            }
        } catch {
            let faults = error.faults.map(\.description)
            state.withLock { state in
                state.stamp = stamp
                state.status.triedAt = time
                state.status.faults = faults
            }
            logger.error(
                "the gateway file is wrong: the one before it stays in force",
                metadata: ["path": "\(path)", "faults": .array(faults.map { .string($0) })])
        }
        return status
    }
}
