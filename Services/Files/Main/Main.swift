import FilesService
import ServiceKit

@main struct Main {
    static func main() async { await Launch.run(Files.self) }
}
