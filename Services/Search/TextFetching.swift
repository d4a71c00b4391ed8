import Contracts
import Foundation
import Logging
import Metrics
import Postgres
import ServiceKit
import ServiceLifecycle
import Synchronization

/// Asks files for the texts that documents still lack, and takes them into the index. A file is found by its name as soon as its event is
/// handled; its text follows, when files is there to give it.
///
/// No transaction is open while it asks. What it was asking for when the program ended is asked for again when its lease is over. Several
/// replicas share the work.
final class TextFetching: Service {
    /// How often it looks for texts that are due again, or that another replica was told of.
    static let pause = Duration.seconds(1)
    /// Texts asked for at once.
    static let atOnce = 4

    private let database: Database
    private let files: FilesClient
    private let logger: Logger
    private let (wakes, wakeUp) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    private let state = Mutex((atWork: 0, lastTenant: TenantID.platform))

    init(database: Database, files: FilesClient, logger: Logger) {
        self.database = database
        self.files = files
        self.logger = logger
    }

    /// There is a new one.
    func wake() { wakeUp.yield() }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                group.addTask {
                    while (try? await Task.sleep(for: Self.pause)) != nil { self.wake() }
                }
                for await _ in self.wakes {
                    guard self.begin() else { continue }
                    group.addTask { await self.workOff() }
                }
                group.cancelAll()
            }
        }
    }

    private func begin() -> Bool {
        state.withLock { state in
            guard state.atWork < Self.atOnce else { return false }
            state.atWork += 1
            return true
        }
    }

    /// One after another, until none is due or files is away. Where one succeeds there may be work for more.
    private func workOff() async {
        defer { state.withLock { $0.atWork -= 1 } }
        do {
            while !Task.isCancelled, try await step() { wake() }
        } catch {
            guard !Task.isCancelled else { return }
            logger.warning("texts of files could not be fetched", metadata: ["reason": "\(error)"])
        }
    }

    /// One text. False when there is none to ask for, or files did not give it.
    private func step() async throws -> Bool {
        guard let tenant = try await nextTenant() else { return false }
        let caller = Caller.service(.search, for: tenant)
        let taken = try await database.transaction(as: caller) { tx in try AwaitedTextStore(tx).take() }
        guard let awaited = taken else { return true }
        let text: String
        do {
            text = try await files.text(of: awaited.id, in: tenant)
        } catch {
            guard !Task.isCancelled else { return false }
            return try await notGiven(awaited, error, caller)
        }
        try await keep(text, awaited, caller)
        return true
    }

    private func nextTenant() async throws -> TenantID? {
        let last = state.withLock { $0.lastTenant }
        let next = try await database.platform(PlatformWork("texts to fetch")) { tx in
            try tx.first(AwaitedTextStore.tenantInTurn(after: last, at: tx.now))
                ?? tx.first(AwaitedTextStore.tenantInTurn(after: .platform, at: tx.now))
        }
        if let next { state.withLock { $0.lastTenant = next } }
        return next
    }

    private func keep(_ text: String, _ awaited: AwaitedText, _ caller: Caller) async throws {
        let body = PlainText.read(plain: text)
        do {
            let isRead = try await database.transaction(as: caller) { tx in
                try AwaitedTextStore(tx).remove(awaited.id)
                return try DocumentStore(tx).complete(awaited.id, version: awaited.version, with: body)
            }
            Self.count(isRead ? "indexed" : "nothing-new")
        } catch let failure as PostgresFailure where failure.sqlState == Self.tooMuch {
            Self.count("given-up")
            logger.error(
                "the text of a file has too many words for the index",
                metadata: ["fileId": "\(awaited.id)", "tenantId": "\(caller.tenant)"])
            try await database.transaction(as: caller) { tx in try AwaitedTextStore(tx).remove(awaited.id) }
        }
    }

    /// Says whether to go on with others.
    private func notGiven(_ awaited: AwaitedText, _ error: any Error, _ caller: Caller) async throws -> Bool {
        let metadata: Logger.Metadata = [
            "fileId": "\(awaited.id)", "tenantId": "\(caller.tenant)", "attempts": "\(awaited.attempts)", "reason": "\(error)",
        ]
        let isAbsent = (error as? RemoteFailure)?.status == Self.notFound
        if isAbsent, awaited.attempts >= AwaitedText.absencesBeforeGivingUp {
            Self.count("given-up")
            logger.warning("a file is not there and its text is given up", metadata: metadata)
            try await database.transaction(as: caller) { tx in try AwaitedTextStore(tx).remove(awaited.id) }
            return true
        }
        Self.count("later")
        if awaited.attempts == 1 { logger.notice("the text of a file is fetched later", metadata: metadata) }
        try await database.transaction(as: caller) { tx in try AwaitedTextStore(tx).postpone(awaited) }
        return isAbsent
    }

    private static let notFound = 404
    /// `program_limit_exceeded`: a tsvector has at most 1 MB.
    private static let tooMuch = "54000"

    private static func count(_ result: String) {
        Counter(label: "trionex_search_file_texts_total", dimensions: [("result", result)]).increment()
    }
}
