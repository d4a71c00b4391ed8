import Contracts
import Foundation

/// What every program of the stack is told through its environment (ARCHITECTURE, "Running").
struct StackEnvironment: Sendable {
    let settings: StackSettings
    let addresses: StackAddresses
    /// The environment of this process; the programs get it with ours on top.
    let inherited: [String: String]

    func variables(for program: StackProgram) -> [String: String] {
        var variables = inherited
        // Set for this program, they would mean something else to the programs it starts.
        for name in StackSettings.variables.map(\.name) { variables[name] = nil }
        variables["TRIONEX_HTTP_HOST"] = "127.0.0.1"
        variables["TRIONEX_HTTP_PORT"] = "\(settings.port(of: program.name))"
        variables["TRIONEX_DATABASE_URL"] = databaseURL(for: program)
        variables["TRIONEX_REDIS_URL"] = addresses.redis
        variables["TRIONEX_KAFKA_BROKERS"] = addresses.kafka
        variables["TRIONEX_SMTP_URL"] = addresses.smtp
        // The mail sink takes short messages too, unless there is a provider for them.
        if let mail = addresses.mail, inherited["TRIONEX_SMS_URL"] == nil {
            variables.merge(MailSink.shortMessageSettings(at: mail)) { $1 }
        }
        for other in StackProgram.all where other != program { variables["TRIONEX_\(other.variable)_URL"] = settings.url(of: other.name) }
        variables["TRIONEX_JWKS"] = settings.url(of: .auth) + "/.well-known/jwks.json"
        variables["TRIONEX_LOG_LEVEL"] = settings.logLevel
        variables["TRIONEX_AUTH_KEY_DIRECTORY"] = settings.keyDirectory
        variables["TRIONEX_USERS_AUDIT_KEY_DIRECTORY"] = settings.keyDirectory + "/audit"
        variables["TRIONEX_SERVICE_SECRET_FILE"] = settings.keyDirectory + "/service-secret"
        variables["TRIONEX_SEALING_KEY_FILE"] = settings.keyDirectory + "/sealing-key"
        variables["TRIONEX_PUBLIC_URL"] = settings.url(of: .gateway)
        variables["TRIONEX_FILES_DIRECTORY"] = settings.runDirectory + "/files"
        variables["TRIONEX_FILES_MASTER_KEY_FILE"] = settings.keyDirectory + "/files-master-key"
        if program.name == .users, settings.hasOperator, inherited["TRIONEX_USERS_SUPERADMINS"] == nil {
            variables["TRIONEX_USERS_SUPERADMINS"] = DemoOrganization.operatorEmail
        }
        if program.name == .gateway { variables["TRIONEX_ADMIN_PORT"] = "\(settings.adminPort)" }
        return variables
    }

    /// The administrator's address with the program's own role. Migrations give each role the password named by
    /// `TRIONEX_<SERVICE>_DATABASE_PASSWORD`, or its own name.
    private func databaseURL(for program: StackProgram) -> String {
        guard var url = URLComponents(string: addresses.database) else { return addresses.database }
        url.user = program.name.rawValue
        url.password = inherited["TRIONEX_\(program.variable)_DATABASE_PASSWORD"] ?? program.name.rawValue
        return url.string ?? addresses.database
    }
}

/// Secrets of this stack, made once and kept.
enum StackSecrets {
    /// Bytes of a secret; 32 is what AES-256 takes.
    private static let length = 32

    /// Writes the files that are not there yet, readable by this user alone: 32 random bytes in base64 each.
    static func prepare(in directory: String) throws {
        let files = FileManager.default
        try files.createDirectory(atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        for name in ["service-secret", "files-master-key", "sealing-key"] where !files.fileExists(atPath: "\(directory)/\(name)") {
            var random = SystemRandomNumberGenerator()
            let secret = Data((0..<length).map { _ in UInt8.random(in: .min ... .max, using: &random) }).base64EncodedString()
            guard
                files.createFile(
                    atPath: "\(directory)/\(name)", contents: Data((secret + "\n").utf8), attributes: [.posixPermissions: 0o600])
            else {
                throw StackFailure("\(directory)/\(name) could not be written.")
            }
        }
    }
}
