package import Contracts
import Foundation

/// One of the platform's programs, and the port that it answers on unless told otherwise.
package struct StackProgram: Sendable, Hashable {
    package let name: ServiceName
    package let defaultPort: Int

    /// In the order of starting; they stop in the reverse order, the gateway first.
    package static let all: [StackProgram] = [
        StackProgram(.auth, port: 8081),
        StackProgram(.users, port: 8082),
        StackProgram(.content, port: 8083),
        StackProgram(.assistant, port: 8084),
        StackProgram(.analytics, port: 8085),
        StackProgram(.notifications, port: 8086),
        StackProgram(.files, port: 8087),
        StackProgram(.search, port: 8088),
        StackProgram(.gateway, port: 8080),
    ]

    init(_ name: ServiceName, port: Int) {
        self.name = name
        defaultPort = port
    }

    /// The part of its variables that names it: `CONTENT` in `TRIONEX_CONTENT_URL`.
    var variable: String { name.rawValue.uppercased() }
}
