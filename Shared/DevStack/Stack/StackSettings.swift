package import Contracts
import Foundation

/// What `make run` is told: ports, folders, and addresses of servers that are there already.
package struct StackSettings: Sendable {
    /// The checkout, where `migrations/` is.
    package var root: String
    /// Where everything that the stack writes goes: `.run` in the checkout.
    package var runDirectory: String
    package var postgresPort = 54_329
    package var redisPort = 63_799
    package var brokerPort = 29_092
    package var smtpPort = 2_525
    package var mailPort = 8_025
    /// The gateway's own listener for health, metrics and administration.
    package var adminPort = 9_080
    /// The port of each program.
    package var ports: [ServiceName: Int]
    /// Which programs are started; all unless told otherwise.
    package var programs: [StackProgram] = StackProgram.all
    /// A server that is there already and is used instead of a private one. The database's is an administrator's.
    package var databaseURL: String?
    package var redisURL: String?
    package var kafkaBrokers: String?
    package var smtpURL: String?
    package var logLevel = "info"
    /// How long the programs have to become ready.
    package var readySeconds = 60

    /// The defaults in a folder, without a look at the environment; for tests, which then choose ports.
    package init(root: String, runDirectory: String) {
        self.root = root
        self.runDirectory = runDirectory
        ports = Dictionary(uniqueKeysWithValues: StackProgram.all.map { ($0.name, $0.defaultPort) })
    }

    /// A variable of the environment and what it means, for `--help`.
    package static let variables: [(name: String, meaning: String)] =
        [
            ("TRIONEX_DATABASE_URL", "an administrator's address of a PostgreSQL to use instead of a private one"),
            ("TRIONEX_REDIS_URL", "a Redis to use instead of a private one"),
            ("TRIONEX_KAFKA_BROKERS", "Kafka brokers to use instead of the local one, host:port,…"),
            ("TRIONEX_SMTP_URL", "a mail relay to use instead of the mail sink"),
            ("TRIONEX_POSTGRES_PORT", "port of the private PostgreSQL [54329]"),
            ("TRIONEX_REDIS_PORT", "port of the private Redis [63799]"),
            ("TRIONEX_BROKER_PORT", "port of the local broker [29092]"),
            ("TRIONEX_SMTP_PORT", "port of the mail sink [2525]"),
            ("TRIONEX_MAIL_PORT", "port where the mail sink shows its mails [8025]"),
            ("TRIONEX_ADMIN_PORT", "port of the gateway's health, metrics and administration [9080]"),
        ] + StackProgram.all.map { ("TRIONEX_\($0.variable)_PORT", "port of \($0.name) [\($0.defaultPort)]") } + [
            ("TRIONEX_LOG_LEVEL", "least level logged by the programs [info]"),
            ("TRIONEX_READY_SECONDS", "seconds that the programs have to become ready [60]"),
        ]

    /// Reads the environment. Throws a `StackFailure` that lists everything wrong in it.
    package init(root: String, environment: [String: String]) throws {
        self.init(root: root, runDirectory: root + "/.run")
        var problems: [String] = []
        func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        func number(_ name: String, _ fallback: Int, in range: ClosedRange<Int> = 1...65_535) -> Int {
            guard let text = value(name) else { return fallback }
            if let number = Int(text), range.contains(number) { return number }
            problems.append("\(name) is \"\(text)\", but must be a whole number from \(range.lowerBound) to \(range.upperBound)")
            return fallback
        }
        postgresPort = number("TRIONEX_POSTGRES_PORT", postgresPort)
        redisPort = number("TRIONEX_REDIS_PORT", redisPort)
        brokerPort = number("TRIONEX_BROKER_PORT", brokerPort)
        smtpPort = number("TRIONEX_SMTP_PORT", smtpPort)
        mailPort = number("TRIONEX_MAIL_PORT", mailPort)
        adminPort = number("TRIONEX_ADMIN_PORT", adminPort)
        readySeconds = number("TRIONEX_READY_SECONDS", readySeconds, in: 1...3_600)
        for program in StackProgram.all { ports[program.name] = number("TRIONEX_\(program.variable)_PORT", program.defaultPort) }
        databaseURL = value("TRIONEX_DATABASE_URL")
        redisURL = value("TRIONEX_REDIS_URL")
        kafkaBrokers = value("TRIONEX_KAFKA_BROKERS")
        smtpURL = value("TRIONEX_SMTP_URL")
        logLevel = value("TRIONEX_LOG_LEVEL") ?? logLevel
        if let databaseURL, URLComponents(string: databaseURL)?.user == nil {
            problems.append("TRIONEX_DATABASE_URL must be postgres://user:password@host:port/database, of a user who may create roles")
        }
        var holders: [Int: String] = [:]
        for (name, port) in listeners {
            if let other = holders.updateValue(name, forKey: port) { problems.append("\(name) and \(other) both have port \(port)") }
        }
        guard problems.isEmpty else {
            throw StackFailure("The settings cannot be used:\n" + problems.map { "  - \($0)" }.joined(separator: "\n"))
        }
    }

    /// Chooses some of the programs by name. Throws a `StackFailure` that names the unknown ones.
    package mutating func choose(_ names: [String]) throws {
        let known = Set(StackProgram.all.map(\.name.rawValue))
        let unknown = names.filter { !known.contains($0) }
        guard unknown.isEmpty else {
            throw StackFailure(
                "There is no service \(unknown.joined(separator: ", ")); there are \(StackProgram.all.map(\.name.rawValue).joined(separator: ", "))."
            )
        }
        programs = StackProgram.all.filter { names.contains($0.name.rawValue) }
    }

    /// Everything that this stack will listen on: the variable that sets the port, and the port.
    var listeners: [(variable: String, port: Int)] {
        var listeners: [(String, Int)] = []
        if databaseURL == nil { listeners.append(("TRIONEX_POSTGRES_PORT", postgresPort)) }
        if redisURL == nil { listeners.append(("TRIONEX_REDIS_PORT", redisPort)) }
        if kafkaBrokers == nil { listeners.append(("TRIONEX_BROKER_PORT", brokerPort)) }
        if smtpURL == nil { listeners += [("TRIONEX_SMTP_PORT", smtpPort), ("TRIONEX_MAIL_PORT", mailPort)] }
        for program in programs { listeners.append(("TRIONEX_\(program.variable)_PORT", port(of: program.name))) }
        if programs.contains(where: { $0.name == .gateway }) { listeners.append(("TRIONEX_ADMIN_PORT", adminPort)) }
        return listeners
    }

    package func port(of program: ServiceName) -> Int { ports[program] ?? 0 }
    package func url(of program: ServiceName) -> String { "http://127.0.0.1:\(port(of: program))" }
    /// Where a program says whether it is ready: the gateway on its own listener, the others beside their endpoints.
    func operationsURL(of program: ServiceName) -> String { program == .gateway ? "http://127.0.0.1:\(adminPort)" : url(of: program) }

    /// Whether this stack has a platform administrator whose password anybody can read here: only where everything is private to it.
    package var hasOperator: Bool { databaseURL == nil && smtpURL == nil }

    package var logDirectory: String { runDirectory + "/logs" }
    package var keyDirectory: String { runDirectory + "/keys" }
    package func log(of program: String) -> String { "\(logDirectory)/\(program).log" }
}
