import CLibPQ
import DequeModule
import Foundation

/// How a connection is opened and what bounds it.
struct ConnectionSettings: Sendable {
    let url: String
    let applicationName: String
    let connectTimeout: Duration
    let statementTimeout: Duration
    /// Nil for unnamed statements, which PgBouncer in transaction mode needs.
    let statementCache: Int?

    /// How much longer than `statement_timeout` we wait for an answer before the connection counts as lost.
    static let replyGrace: Duration = .seconds(5)
    /// The server ends a transaction that sits without a statement for so long.
    static let idleInTransaction: Duration = .seconds(60)
}

/// One connection in pipeline mode, confined to the thread that opened it: not Sendable, and only the pools hold one.
///
/// Statements are queued, then `sync` ends an exchange, then `collect` reads the answers of one exchange. Several
/// exchanges may be under way at once; each is a transaction of its own unless a BEGIN is open.
final class Connection {
    /// What an expected answer is for.
    private enum Expected {
        case preparation(StatementCache.Key)
        case execution(StatementCache.Key?)
        case prelude
        case sync
    }

    private let handle: OpaquePointer
    private let settings: ConnectionSettings
    private var cache: StatementCache?
    private var parameters = ParameterBuffer()
    private var expected = Deque<Expected>()
    let cancelHandle: CancelHandle?
    /// Set once the connection cannot be trusted any more; the pool then opens another.
    private(set) var isLost = false

    init(_ settings: ConnectionSettings) throws {
        self.settings = settings
        guard let handle = settings.open() else { throw ConnectionLost(reason: "out of memory") }
        guard PQstatus(handle) == CONNECTION_OK else {
            defer { PQfinish(handle) }
            throw ConnectionLost(reason: Trouble.connecting(Self.message(of: handle)))
        }
        self.handle = handle
        cache = settings.statementCache.map { StatementCache(capacity: $0) }
        cancelHandle = CancelHandle(handle)
        guard PQsetnonblocking(handle, 1) == 0, PQenterPipelineMode(handle) == 1 else {
            throw ConnectionLost(reason: "the connection does not take pipelines")
        }
        try prepareSession()
    }

    deinit { PQfinish(handle) }

    /// Limits of the session, and the refusal of a role that row-level security does not bind.
    private func prepareSession() throws {
        var sql: SQL = "SELECT rolsuper OR rolbypassrls AS unbound"
        if cache != nil {
            sql += """
                , set_config('statement_timeout', \(settings.statementTimeout.milliseconds), false)\
                , set_config('idle_in_transaction_session_timeout', \(ConnectionSettings.idleInTransaction.milliseconds), false)
                """
        }
        sql += " FROM pg_roles WHERE rolname = current_user"
        do {
            let unbound: [Bool] = try exchange([Statement(sql)], cached: false).map { try $0("unbound") }
            if unbound.first ?? true {
                throw ConnectionLost(
                    reason: "\(Trouble.refusal): the database role is not bound by row-level security: connect as the service's own role")
            }
        } catch let failure as PostgresFailure {
            throw ConnectionLost(reason: "SQLSTATE \(failure.sqlState) while the session was set up")
        }
    }

    /// The text of the last error on one line; connection errors name hosts and roles, never passwords.
    private static func message(of handle: OpaquePointer) -> String {
        String(cString: PQerrorMessage(handle)).split(whereSeparator: \.isNewline).joined(separator: "; ")
    }

    private func lost(_ reason: String) -> ConnectionLost {
        isLost = true
        return ConnectionLost(reason: reason)
    }

    /// Limits for each transaction where session settings do not stick (unnamed mode).
    var transactionTimeout: String? { cache == nil ? settings.statementTimeout.milliseconds : nil }

    // MARK: - Sending

    /// Whether an idle connection is still there, without a round trip unless something has arrived meanwhile:
    /// a notice is harmless, the announcement of a shutdown is not, so an exchange tells.
    func isAlive() -> Bool {
        guard !isLost, PQstatus(handle) == CONNECTION_OK else { return false }
        var descriptor = pollfd(fd: PQsocket(handle), events: Int16(POLLIN), revents: 0)
        guard poll(&descriptor, 1, 0) > 0 else { return true }
        guard PQconsumeInput(handle) == 1 else { return false }
        do { try absorbSignal() } catch { return false }
        return true
    }

    /// Queues the statement; its answer is discarded unless it is an error.
    func queuePrelude(_ statement: Statement) throws { try send(statement, cached: true, prelude: true) }

    /// Queues BEGIN, COMMIT and the like. They bypass the cache: an eviction before ROLLBACK would fail in a broken transaction.
    func queueControl(_ statement: Statement) throws { try send(statement, cached: false, prelude: true) }

    func queue(_ statement: Statement, cached: Bool = true) throws { try send(statement, cached: cached, prelude: false) }

    private func send(_ statement: Statement, cached: Bool, prelude: Bool) throws {
        guard !isLost else { throw ConnectionLost(reason: "the connection was lost") }
        parameters.fill(statement.bindings)
        guard cached, cache != nil else {
            let types = parameters.types
            let sent = parameters.withParameters { count, values, lengths, formats in
                PQsendQueryParams(handle, statement.text, count, types, values, lengths, formats, 1)
            }
            guard sent == 1 else { throw lost("cannot send: \(Self.message(of: handle))") }
            expected.append(prelude ? .prelude : .execution(nil))
            return
        }
        let key = StatementCache.Key(text: statement.text, types: parameters.types)
        let name = try prepare(key)
        let sent = parameters.withParameters { count, values, lengths, formats in
            PQsendQueryPrepared(handle, name, count, values, lengths, formats, 1)
        }
        guard sent == 1 else { throw lost("cannot send: \(Self.message(of: handle))") }
        expected.append(prelude ? .prelude : .execution(key))
    }

    private func prepare(_ key: StatementCache.Key) throws -> String {
        switch cache?.use(key) {
        case .prepared(let name): return name
        case .prepare(let name, let evicted):
            if let evicted {
                let sent = PQsendQueryParams(handle, "DEALLOCATE \(evicted)", 0, nil, nil, nil, nil, 1)
                guard sent == 1 else { throw lost("cannot send: \(Self.message(of: handle))") }
                expected.append(.prelude)
            }
            guard PQsendPrepare(handle, name, key.text, CInt(key.types.count), key.types) == 1 else {
                throw lost("cannot send: \(Self.message(of: handle))")
            }
            expected.append(.preparation(key))
            return name
        case nil: throw lost("a named statement in unnamed mode")
        }
    }

    /// Ends an exchange: outside a BEGIN, everything since the last sync is one transaction.
    func sync() throws {
        guard PQpipelineSync(handle) == 1 else { throw lost("cannot send: \(Self.message(of: handle))") }
        expected.append(.sync)
    }

    /// Sends all that is queued, reading meanwhile so that neither side waits for the other.
    func flush() throws {
        let deadline = ContinuousClock.now + settings.statementTimeout + ConnectionSettings.replyGrace
        while true {
            switch PQflush(handle) {
            case 0: return
            case 1:
                try wait(for: Int16(POLLIN | POLLOUT), until: deadline)
                guard PQconsumeInput(handle) == 1 else { throw lost(Self.message(of: handle)) }
            default: throw lost("cannot send: \(Self.message(of: handle))")
            }
        }
    }

    // MARK: - Receiving

    /// The answers of the oldest exchange, one for each `queue`; throws the first error in it, with the exchange fully read.
    func collect() throws -> [ResultSet] {
        guard !isLost else { throw ConnectionLost(reason: "the connection was lost") }
        var answers: [ResultSet] = []
        var failure: PostgresFailure?
        while let next = expected.popFirst() {
            if case .sync = next {
                let refusal = try readSync()
                failure = failure ?? refusal
                break
            }
            let result = try nextResult()
            switch result.status {
            case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
                if case .execution = next { answers.append(result) }
            case PGRES_PIPELINE_ABORTED:
                if case .preparation(let key) = next { cache?.forget(key) }
            case PGRES_FATAL_ERROR:
                let problem = try serverFailure(result)
                failure = failure ?? problem
                switch next {
                case .preparation(let key): cache?.forget(key)
                case .execution(let key?) where problem.isStalePreparation: cache?.forget(key)
                default: break
                }
            default: throw lost("an answer that this client does not take (COPY?)")
            }
            guard PQgetResult(handle) == nil else { throw lost("more answers than statements") }
        }
        if let failure { throw failure }
        return answers
    }

    /// Reads up to the sync; what is refused only at commit (a deferred constraint) is reported before it.
    private func readSync() throws -> PostgresFailure? {
        var failure: PostgresFailure?
        while true {
            guard let result = try optionalResult() else { continue }
            if result.status == PGRES_PIPELINE_SYNC { return failure }
            let problem = try serverFailure(result)
            failure = failure ?? problem
        }
    }

    private func nextResult() throws -> ResultSet {
        guard let result = try optionalResult() else { throw lost("the answer is missing") }
        return result
    }

    private func optionalResult() throws -> ResultSet? {
        let deadline = ContinuousClock.now + settings.statementTimeout + ConnectionSettings.replyGrace
        while PQisBusy(handle) == 1 {
            try wait(for: Int16(POLLIN), until: deadline)
            guard PQconsumeInput(handle) == 1 else { throw lost(Self.message(of: handle)) }
        }
        guard let pointer = PQgetResult(handle) else {
            if PQstatus(handle) != CONNECTION_OK { throw lost("the server closed the connection") }
            return nil
        }
        return ResultSet(pointer)
    }

    /// The failure that a result reports, or `ConnectionLost` when it is the connection's end.
    private func serverFailure(_ result: ResultSet) throws -> PostgresFailure {
        let severity = result.diagnostic(.severity)
        guard let severity, severity != "FATAL", severity != "PANIC" else {
            let state = result.diagnostic(.sqlState).map { " (SQLSTATE \($0))" } ?? ""
            throw lost("the server closed the connection\(state)")
        }
        return PostgresFailure(result)
    }

    private func wait(for events: Int16, until deadline: ContinuousClock.Instant) throws {
        while true {
            let left = (deadline - ContinuousClock.now) / .milliseconds(1)
            guard left > 0 else { throw lost("the server does not answer") }
            var descriptor = pollfd(fd: PQsocket(handle), events: events, revents: 0)
            let ready = poll(&descriptor, 1, CInt(min(left.rounded(.up), 60_000)))
            if ready > 0 { return }
            if ready < 0 && errno != EINTR { throw lost("poll failed with errno \(errno)") }
        }
    }

    // MARK: - Whole exchanges

    /// Sends the statements as one exchange and returns the last answer.
    func exchange(_ statements: [Statement], cached: Bool = true) throws -> ResultSet {
        for statement in statements { try queue(statement, cached: cached) }
        try sync()
        try flush()
        guard let last = try collect().last else { throw lost("the answer is missing") }
        return last
    }

    /// Takes up a cancel signal that may still be on its way, so that it hits nobody else.
    func absorbSignal() throws {
        try queueControl(Statement(control: "SELECT 1"))
        try sync()
        try flush()
        do { _ = try collect() } catch is PostgresFailure { return }
    }

    /// Whether no transaction is open; anything else after an exchange means that a statement opened one by itself.
    var isIdle: Bool { PQtransactionStatus(handle) == PQTRANS_IDLE }

    func close() { isLost = true }
}

extension ConnectionSettings {
    /// Opens a connection, waiting; the status of the result says whether it succeeded. Nil when memory is out.
    func open() -> OpaquePointer? {
        let seconds = max(2, Int(connectTimeout.components.seconds))
        let options: [(String, String)] = [
            ("dbname", url), ("application_name", applicationName), ("connect_timeout", "\(seconds)"),
            ("client_encoding", "UTF8"), ("keepalives_idle", "15"), ("keepalives_interval", "5"), ("keepalives_count", "3"),
            ("tcp_user_timeout", "20000"),
        ]
        let names = options.map { strdup($0.0) }, values = options.map { strdup($0.1) }
        defer { (names + values).forEach { free($0) } }
        // expand_dbname: the URL stands in dbname, and what follows it wins over what the URL says.
        let handle = PQconnectdbParams(names.map { UnsafePointer($0) } + [nil], values.map { UnsafePointer($0) } + [nil], 1)
        // Notices would otherwise go to standard error, past the logger.
        _ = PQsetNoticeProcessor(handle, { _, _ in }, nil)
        return handle
    }
}

extension Duration {
    /// Whole milliseconds as the server's settings take them.
    var milliseconds: String { "\(Int64(self / .milliseconds(1)))" }
}
