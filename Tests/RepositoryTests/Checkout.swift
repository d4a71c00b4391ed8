import Foundation
import TestKit

/// The files of the checkout, as the laws look at them.
enum Checkout {
    struct File: Sendable {
        let path: String
        let text: String
        var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }
        var name: String { String(path.split(separator: "/").last ?? "") }
    }

    static let services = ["Auth", "Users", "Content", "Assistant", "Analytics", "Notifications", "Files", "Search"]

    static let files: [File] = {
        let root = URL(filePath: Repository.root)
        let kept: Set<String> = ["swift", "md", "sql", "yaml", "yml", "sh", "json", "h", "modulemap", "py"]
        guard let walker = FileManager.default.enumerator(at: root, includingPropertiesForKeys: [.isDirectoryKey]) else { return [] }
        var files: [File] = []
        for case let url as URL in walker {
            let path = String(
                url.path(percentEncoded: false).dropFirst(
                    Repository.root.hasSuffix("/") ? Repository.root.count : Repository.root.count + 1))
            if path.hasPrefix(".build") || path.hasPrefix(".git/") || path.hasPrefix(".run") {
                walker.skipDescendants()
                continue
            }
            guard kept.contains(url.pathExtension) || ["Makefile", "Dockerfile", "run"].contains(url.lastPathComponent),
                let text = try? String(contentsOf: url, encoding: .utf8)
            else { continue }
            files.append(File(path: path, text: text))
        }
        return files.sorted { $0.path < $1.path }
    }()

    static let swift = files.filter { $0.path.hasSuffix(".swift") }
    static let sources = swift.filter { !$0.path.hasPrefix("Tests/") && $0.path != "Package.swift" }
}
