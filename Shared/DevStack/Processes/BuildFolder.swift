import Foundation

/// Where the programs of the product are: SwiftPM puts all executables, and the test bundle, into one folder.
package enum BuildFolder {
    /// The folder of the running executable.
    package static let path: String = {
        let executable = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
        return URL(filePath: executable).deletingLastPathComponent().path(percentEncoded: false)
    }()

    /// The absolute path of one of the product's programs beside the running one; nil when it has not been built.
    package static func program(_ name: String) -> String? {
        let file = URL(filePath: path).appending(path: name).path(percentEncoded: false)
        return Programs.canRun(file) ? file : nil
    }
}
